"""One-class SVM on a frozen backbone."""
