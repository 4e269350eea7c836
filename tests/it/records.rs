//! What is kept for later, and how long: chains and their seals, the audit log, dead letters, erasure and export.

mod audit;
mod closed;
mod doctor;
mod erasure;
mod export;
mod letters;
mod seals;
