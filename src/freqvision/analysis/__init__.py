"""What the library measures and draws: throughput, channel selection, figures and reports."""
