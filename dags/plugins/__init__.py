"""Additions to Airflow's own pages; Airflow's plugins folder."""
