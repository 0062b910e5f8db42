"""What an operator needs beside the page: how Prometheus finds a cluster, when
somebody should be told, and something to look at.

`python -m stethoscope.dask` prints each of them:

    prometheus.py   prometheus-config   scrape configuration, through `/metrics/targets`
    alerts.yml      alerts              alert rules, for Prometheus' `rule_files`
    grafana.py      grafana             a dashboard, to import into Grafana

They share a few labels. Prometheus gives each target `job="dask"`; its scheduler
adds `role` and, for a worker, `worker_name` and `worker_address`; and the
configuration here adds `cluster`.
"""
