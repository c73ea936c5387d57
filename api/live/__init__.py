"""Live: what changes, brought to those who listen, from the signals that the folds leave in the documents."""
