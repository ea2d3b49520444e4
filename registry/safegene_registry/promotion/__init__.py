"""What moving an alias demands: policies, approvals, and the gate."""
