//! Every error gets the advice that fits it.

use std::path::PathBuf;

use hobnob_api::ApiError;

use super::*;

#[test]
fn only_a_full_disk_is_called_full() {
    for (kind, says) in [
        (ErrorKind::NotADirectory, "a file is where"),
        (ErrorKind::AlreadyExists, "a file is where"),
        (ErrorKind::PermissionDenied, "this user"),
        (ErrorKind::ReadOnlyFilesystem, "read-only"),
        (ErrorKind::NotFound, "takes no files"),
        (ErrorKind::StorageFull, "make room"),
    ] {
        let advice = of_file(&kind.into()).expect("some advice");
        assert!(advice.contains(says), "{kind}: {advice}");
        assert_eq!(advice.contains("room"), kind == ErrorKind::StorageFull, "{kind}: {advice}");
    }
    assert_eq!(of_file(&io::Error::other("broken")), None);
}

#[test]
fn a_file_that_is_read_needs_no_room_and_no_right_to_write() {
    let error = |verb, kind: ErrorKind| {
        let source = kind.into();
        anyhow::Error::new(KeysError::Io { verb, path: PathBuf::from("file"), source })
    };
    for (kind, read, write) in [
        (ErrorKind::NotFound, "is there", "takes no files"),
        (ErrorKind::PermissionDenied, "read that file", "write there"),
    ] {
        let (path, source) = (PathBuf::from("file"), io::Error::from(kind).into());
        let unreadable = anyhow::Error::new(KeysError::Unreadable { path, source });
        for (error, says) in
            [(unreadable, read), (error("look at", kind), read), (error("write", kind), write)]
        {
            let advice = of(&error).expect("some advice");
            assert!(advice.contains(says), "{error} {kind}: {advice}");
        }
    }
}

#[test]
fn a_refusal_is_advised_by_its_code_however_deep_it_lies() {
    let refusal = |code| {
        let refusal = ClientError::Api(ApiError::new(code, "no"));
        anyhow::Error::new(refusal).context("asking")
    };
    let advice = of(&refusal(ErrorCode::MemberAmbiguous));
    assert_eq!(advice.as_deref(), Some("name the member by its node id"));
    assert_eq!(of(&refusal(ErrorCode::DuplicateNodeId)), None);
}

#[test]
fn a_damaged_file_comes_with_a_way_out_that_is_found_below_its_context() {
    let path = || PathBuf::from("file");
    let reason = || "why".to_owned();
    for (error, says) in [
        (OpenError::Locked { dir: path(), pid: None }, "another data directory"),
        (OpenError::CorruptIdentity { path: path(), reason: reason() }, "remove it"),
        (OpenError::CorruptEpoch { path: path(), reason: reason() }, "remove it"),
        (OpenError::CorruptNodeKey { path: path(), reason: reason() }, "with a token"),
        (OpenError::CorruptMembership { path: path(), reason: reason() }, "with a token"),
        (OpenError::CorruptKeys { path: path(), reason: reason() }, "remove it"),
        (OpenError::CorruptLog { path: path(), line: 2, reason: reason() }, "register again"),
        (
            OpenError::OtherFormat { path: path(), format: 3, written_by: reason(), known: 2 },
            "that wrote it",
        ),
    ] {
        let error =
            anyhow::Error::new(StartError::from(SecurityError::from(error))).context("no start");
        let advice = of(&error).expect("some advice");
        assert!(advice.contains(says), "{error:#}: {advice}");
    }
}
