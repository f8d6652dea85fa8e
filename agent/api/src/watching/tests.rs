//! Watches, against an agent of the test.
