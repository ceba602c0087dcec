"""The core's host: parameters, order of events, replay, digest."""
