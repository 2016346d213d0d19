"""Full-stage knowledge distillation (arXiv 2312.13789, section 3.2) and plain supervised training."""
