"""Many videos through the stages: workers that stay, a manifest that survives them."""
