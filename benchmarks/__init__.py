"""What Tidings costs, measured."""
