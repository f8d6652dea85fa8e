//! Tests of the table, its rules and its limits.
