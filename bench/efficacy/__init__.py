"""How well the detector detects: honest and hostile query streams through its public interface, on a virtual clock."""
