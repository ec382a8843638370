"""A worker of Nagios Core: a small broker holds Nagios's socket and a journal of jobs, an executor behind it runs them."""
