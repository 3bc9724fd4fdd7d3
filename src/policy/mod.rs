//! Permit: may this source send this message from this author to these recipients?
