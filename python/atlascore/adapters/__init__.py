"""Adapters build the event, ask the engine, apply its decision and bring it the answer. None detects."""
