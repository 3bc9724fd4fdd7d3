//! The client side of a conversation.
