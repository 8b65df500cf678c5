"""Airflow's view of the hub: wiring only. Which command runs, after which, in which pool."""
