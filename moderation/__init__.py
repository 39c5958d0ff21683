"""The main road: intake, screening, policy, review queue, desk, decisions."""
