"""A real slapd with memberof and ppolicy on loopback ports, for as long as a test needs it."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from appliance.clock import now_s
from appliance.setup.tls import make_server_certificate
from support.service import free_port

SLAPD: Final = "/usr/sbin/slapd"
SUFFIX: Final = "dc=example,dc=org"
PEOPLE: Final = f"ou=people,{SUFFIX}"
GROUPS: Final = f"ou=groups,{SUFFIX}"
ROOT_DN: Final = f"cn=manager,{SUFFIX}"
SERVICE_DN: Final = f"cn=chancery,{SUFFIX}"
ROOT_PASSWORD: Final = "root of the tests"
SERVICE_PASSWORD: Final = "look up only"
PASSWORD: Final = "correct horse, battery: staple"
_SCHEMA: Final = Path("/etc/ldap/schema")
_MODULES: Final = "/usr/lib/ldap"
_DEADLINE_S: Final = 10

CONFIG: Final = """\
include {schema}/core.schema
include {schema}/cosine.schema
include {schema}/inetorgperson.schema
modulepath {modules}
moduleload back_mdb
moduleload memberof
moduleload ppolicy
pidfile {directory}/slapd.pid
TLSCertificateFile {certificate}
TLSCertificateKeyFile {key}
security simple_bind=128
sizelimit size.soft=500 size.hard=500 size.pr=500 size.prtotal=unlimited
database mdb
suffix "{suffix}"
rootdn "{root_dn}"
rootpw "{root_password}"
directory {directory}/db
overlay memberof
memberof-refint true
overlay ppolicy
ppolicy_default "cn=policy,{suffix}"
ppolicy_use_lockout
access to attrs=userPassword by anonymous auth by * none
access to * by dn.exact="{service_dn}" read by * none
"""


@dataclass(slots=True, kw_only=True)
class Directory:
    """A running slapd."""

    ldaps: str
    ldap: str
    ca: Path
    directory: Path
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def settings(self, **more: object) -> str:
        """Return its table for chancery.toml."""
        fields = {
            "name": "ldap",
            "url": self.ldaps,
            "ca": str(self.ca),
            "bind_dn": SERVICE_DN,
            "password": f"file:{self.password_file}",
            "base": PEOPLE,
            "group_base": GROUPS,
        } | more
        lines = [f"{name} = {json.dumps(value)}" for name, value in fields.items() if value is not None]
        return "\n".join(["", "[[identity.ldap]]", *lines, ""])

    @property
    def password_file(self) -> Path:
        """The file that holds the service account's password."""
        path = self.directory / "service.password"
        if not path.exists():
            path.touch(0o600)
            path.write_text(f"{SERVICE_PASSWORD}\n")
        return path

    def change(self, ldif: str) -> None:
        """Change entries, as the directory's root."""
        command = ["ldapmodify", "-H", self.ldaps, "-x", "-D", ROOT_DN, "-w", ROOT_PASSWORD, "-c"]
        environment = {"LDAPTLS_CACERT": str(self.ca), "PATH": "/usr/bin:/bin"}
        done = subprocess.run(
            command, input=ldif, text=True, capture_output=True, check=False, env=environment, timeout=30
        )
        assert done.returncode == 0, done.stderr

    def start(self) -> None:
        """Start it, or start it again."""
        self.process = subprocess.Popen(
            [SLAPD, "-f", self.directory / "slapd.conf", "-h", f"{self.ldap}/ {self.ldaps}/", "-d", "0"],
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + _DEADLINE_S
        while True:
            probe = ["ldapwhoami", "-x", "-H", self.ldaps]
            environment = {"LDAPTLS_CACERT": str(self.ca), "PATH": "/usr/bin:/bin"}
            done = subprocess.run(probe, capture_output=True, check=False, env=environment, timeout=30)
            if done.returncode == 0:
                return
            assert self.process.poll() is None, "slapd ended"
            assert time.monotonic() < deadline, done.stderr
            time.sleep(0.05)

    def stop(self) -> None:
        """Stop it: the directory is down."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait(10)
            self.process = None


def person(name: str, *more: str, password: str = PASSWORD) -> str:
    """Return the LDIF that adds a person."""
    lines = [f"dn: uid={name},{PEOPLE}", "changetype: add", "objectClass: inetOrgPerson", f"cn: {name}"]
    return "\n".join([*lines, f"sn: {name}", f"uid: {name}", f"userPassword: {password}", *more, "", ""])


def group(name: str, *members: str) -> str:
    """Return the LDIF that adds a group; members are DNs."""
    lines = [f"dn: cn={name},{GROUPS}", "changetype: add", "objectClass: groupOfNames", f"cn: {name}"]
    return "\n".join([*lines, *(f"member: {member}" for member in members), "", ""])


def person_dn(name: str) -> str:
    return f"uid={name},{PEOPLE}"


def group_dn(name: str) -> str:
    return f"cn={name},{GROUPS}"


@contextmanager
def running_directory(directory: Path) -> Iterator[Directory]:
    """Run a slapd with ada (in dba, which is in engineers, which is in staff), and bob (in staff)."""
    certificate, key = directory / "slapd.pem", directory / "slapd.key"
    made_key, made = make_server_certificate(("127.0.0.1",), now_s())
    certificate.write_bytes(made)
    key.write_bytes(made_key)
    (directory / "db").mkdir()
    (directory / "slapd.conf").write_text(
        CONFIG.format(
            schema=_SCHEMA,
            modules=_MODULES,
            directory=directory,
            certificate=certificate,
            key=key,
            suffix=SUFFIX,
            root_dn=ROOT_DN,
            root_password=ROOT_PASSWORD,
            service_dn=SERVICE_DN,
        )
    )
    made_directory = Directory(
        ldaps=f"ldaps://127.0.0.1:{free_port()}",
        ldap=f"ldap://127.0.0.1:{free_port()}",
        ca=certificate,
        directory=directory,
    )
    made_directory.start()
    try:
        made_directory.change(_CONTENT)
        yield made_directory
    finally:
        made_directory.stop()


_CONTENT: Final = "\n".join(
    [
        f"dn: {SUFFIX}\nchangetype: add\nobjectClass: dcObject\nobjectClass: organization\no: example\n",
        f"dn: {PEOPLE}\nchangetype: add\nobjectClass: organizationalUnit\n",
        f"dn: {GROUPS}\nchangetype: add\nobjectClass: organizationalUnit\n",
        (
            f"dn: cn=policy,{SUFFIX}\nchangetype: add\nobjectClass: device\nobjectClass: pwdPolicy\n"
            "pwdAttribute: userPassword\npwdLockout: TRUE\npwdMaxFailure: 5\npwdMustChange: TRUE\n"
        ),
        (
            f"dn: {SERVICE_DN}\nchangetype: add\nobjectClass: person\nsn: chancery\n"
            f"userPassword: {SERVICE_PASSWORD}\n"
        ),
        person("ada"),
        person("bob"),
        group("dba", person_dn("ada")),
        group("engineers", group_dn("dba")),
        group("staff", group_dn("engineers"), person_dn("bob")),
    ]
)
