//! Tables of what expressions mean, and properties of what they never do.
