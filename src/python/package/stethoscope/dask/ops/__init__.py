"""The operator's tools around the page: discovery, alerts, a dashboard and a doctor.

The commands of `python -m stethoscope.dask`:

    prometheus.py   prometheus-config   scrape jobs, for each kind of discovery
    alerts.yml      alerts              alert rules, for Prometheus' `rule_files`
    dashboard.json  grafana             a dashboard, to import into Grafana
    doctor.py       doctor              examines how a running cluster serves its metrics

Dashboard and alerts work with any scrape job: they select no series by a label that
only one kind of discovery sets. Where they are set, legends and messages show
`cluster`, `role` and `worker_name`, and `instance`, which every job sets.
"""
