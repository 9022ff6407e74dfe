"""What several models share: mixins, limits, pre-processing, the one-class SVM."""
