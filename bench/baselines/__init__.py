"""The baselines: tiny programs of their own, each printing one measurement as a JSON line."""
