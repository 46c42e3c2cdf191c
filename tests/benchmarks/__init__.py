"""Measurements that are too slow, or need data that cannot be published, to be tests."""
