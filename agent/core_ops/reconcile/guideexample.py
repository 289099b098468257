"""The repository that the authoring guide shows: small, complete, and without anything that a check would say.

It has what most changes are about: a container with its network, volume and config file, a job with its timer, a drop-in of a
host and a config file of a host.
"""

from collections.abc import Mapping

_DIGEST = "sha256:" + "0123456789abcdef" * 4

EXAMPLE: Mapping[str, str] = {
    "hosts/web1/host.yaml": """\
host: web1
services: [site, report]
images: digest
""",
    "hosts/web1/overrides/site.container.d/port.conf": """\
[Container]
PublishPort=
PublishPort=80:8080
""",
    "hosts/web1/site/config/pages/index.html": """\
<h1>Hello from web1</h1>
""",
    "services/site/site.network": """\
[Network]
""",
    "services/site/site-data.volume": """\
[Volume]
""",
    "services/site/site.container": f"""\
[Unit]
Description=The web site

[Container]
Image=quay.io/example/site@{_DIGEST}
Network=site.network
PublishPort=8080:8080
Volume=site-data.volume:/data
Volume=/etc/site/pages:/srv:ro
HealthCmd=wget -q -O /dev/null http://127.0.0.1:8080/
Notify=healthy

[Service]
Restart=always

[Install]
WantedBy=multi-user.target
""",
    "services/site/config/pages/index.html": """\
<h1>Hello</h1>
""",
    "services/report/report.service": """\
[Unit]
Description=Write down how full the disks are

[Service]
Type=oneshot
ExecStart=/usr/bin/df -h
""",
    "services/report/report.timer": """\
[Timer]
OnCalendar=daily
Persistent=true

[Install]
WantedBy=timers.target
""",
}
