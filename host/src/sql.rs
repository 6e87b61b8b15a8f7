//! SQL text: tokens, statements, and what the first words say.
