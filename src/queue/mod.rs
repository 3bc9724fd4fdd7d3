//! Schedule: which message may go to which provider, and when.
