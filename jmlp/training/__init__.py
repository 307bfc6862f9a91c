"""Training: from a study's plan to results, in compiled programs of many runs side by side."""
