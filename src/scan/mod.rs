//! Clear: is the content fit to be accepted?
