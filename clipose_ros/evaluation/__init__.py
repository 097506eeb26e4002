"""How good poses are: errors, accuracies and reports."""
