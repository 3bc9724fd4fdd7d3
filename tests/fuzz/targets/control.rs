//! Readers of what comes through the control socket.

use postern::control::request::Request;

/// Law: a request that was read is written as one that reads the same.
pub(crate) fn request(octets: &[u8]) {
    let Ok(request) = serde_json::from_slice::<Request>(octets) else { return };
    let text = serde_json::to_vec(&request).expect("a request is written");
    let again: Request = serde_json::from_slice(&text).expect("a request reads again");
    assert_eq!(request, again);
    let _ = (request.action(), request.subject(), request.weight(), request.role());
}
