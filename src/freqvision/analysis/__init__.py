"""What the library measures and draws: channel selection, accuracy, speed, figures, the report."""
