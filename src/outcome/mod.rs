//! Classify and report: what an answer means, and who is told.
