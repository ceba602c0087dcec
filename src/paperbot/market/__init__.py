"""Where bars come from: files and made-up markets."""
