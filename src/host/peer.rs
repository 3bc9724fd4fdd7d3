//! Users of this machine, for the control socket.

use nix::unistd::{Uid, User, geteuid};

/// The name of a user, or the id in digits if nobody has it.
#[must_use]
pub fn user_name(uid: u32) -> String {
    match User::from_uid(Uid::from_raw(uid)) {
        Ok(Some(user)) => user.name,
        _ => uid.to_string(),
    }
}

/// The id of the user with this name, if there is one.
#[must_use]
pub fn user_id(name: &str) -> Option<u32> {
    User::from_name(name).ok().flatten().map(|user| user.uid.as_raw())
}

/// The user id that this process acts as.
#[must_use]
pub fn own_uid() -> u32 {
    geteuid().as_raw()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_have_names() {
        assert_eq!(user_name(0), "root");
        assert_eq!(user_name(4_000_000_000), "4000000000");
        assert_eq!(user_id("root"), Some(0));
        assert_eq!(user_id("nobody-has-this-name"), None);
    }
}
