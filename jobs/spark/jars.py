"""Jars of the Spark server: five of Delta 4.4.0 by coordinates with pinned sums, and our own classes from source."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import zipfile
from importlib.util import find_spec
from pathlib import Path

from jobs.errors import ConfigError

DELTA = {
    "delta-spark_4.2_2.13-4.4.0.jar": "27d4fd8b1f879535c573ed1c718177d6a27f24d3e626ba02e216369725721ead",
    "delta-storage-4.4.0.jar": "c46735481fa8e326b0957be02b4420cbcab4b325bb08009b7f2045a95133f1cc",
    "delta-kernel-api-4.4.0.jar": "ee9b5a14ac3b7efdff4d61a58478fe8eb0e5a3fbca43889dca7290795fe79a11",
    "delta-kernel-defaults-4.4.0.jar": "225c975199e4718b38ee5b7e6da7f19e9585024262b2cec2656b32151a856b0b",
    "delta-kernel-unitycatalog-4.4.0.jar": "cea22dfb4ac562b3cd27bf652697750e8336009d73fb06631363aaaad5345ffa",
}
GROUP = "io.delta"
JAVA_SOURCES = Path(__file__).resolve().parent / "java"
COMPILED_AGAINST = (
    "log4j-api",
    "log4j-core",
    "spark-core",
    "spark-sql",
    "spark-connect_",
    "spark-common",
    "hadoop-client-api",
    "parquet-",
    "scala-library",
)
JAVAC = ("-m", "jdk.compiler/com.sun.tools.javac.Main")


def spark_home() -> Path:
    """Where the pyspark wheel keeps Spark, found without importing pyspark."""

    spec = find_spec("pyspark")
    if spec is None or spec.origin is None:
        raise ConfigError("pyspark is not installed.", next_step="run ./hub, which prepares the environment")
    return Path(spec.origin).parent


def java() -> str:
    """The Java launcher: JAVA_HOME's, or the one on the path."""
    home = os.environ.get("JAVA_HOME")
    if home and (Path(home) / "bin" / "java").exists():
        return str(Path(home) / "bin" / "java")
    path = shutil.which("java")
    if not path:
        raise ConfigError(
            "Java 17 or 21 is not installed.", next_step="install openjdk-17-jre-headless, or set JAVA_HOME"
        )
    return path


def _sum(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def delta_jars(cache: Path) -> list[Path]:
    """The Delta jars in ``cache/jars``, fetched with the resolver that Spark ships when one is missing.

    A mirror is used when ``HUB_IVY_SETTINGS`` names an Ivy settings file. Raises ``ConfigError`` when a jar cannot be
    had or its sum is not the pinned one.
    """
    folder = cache / "jars"
    folder.mkdir(parents=True, exist_ok=True)
    jars = [folder / name for name in DELTA]
    if not all(j.exists() for j in jars):
        _fetch(folder)
    for jar in jars:
        if _sum(jar) != DELTA[jar.name]:
            jar.unlink()
            raise ConfigError(f"{jar.name} does not have the pinned sum.", next_step="run again, or check your mirror")
    return jars


def _fetch(folder: Path) -> None:
    names = [name.removesuffix(".jar").rpartition("-") for name in DELTA]
    wanted = "".join(f'<dependency org="{GROUP}" name="{n}" rev="{v}" transitive="false"/>' for n, _, v in names)
    module = folder / "ivy.xml"
    module.write_text(
        '<ivy-module version="2.0"><info organisation="healthhub" module="jars"/>'
        '<configurations><conf name="default"/></configurations>'
        f'<dependencies defaultconf="default->master">{wanted}</dependencies></ivy-module>'
    )
    settings = os.environ.get("HUB_IVY_SETTINGS")
    command = [java(), "-cp", f"{spark_home()}/jars/*", "org.apache.ivy.Main", "-ivy", str(module), "-warn"]
    command += ["-settings", settings] if settings else []
    command += ["-cache", str(folder / "ivy"), "-retrieve", f"{folder}/[artifact]-[revision].[ext]"]
    done = subprocess.run([*command, "-types", "jar", "bundle"], capture_output=True, text=True)
    if missing := [name for name in DELTA if not (folder / name).exists()]:
        tail = (done.stdout + done.stderr).strip().splitlines()[-3:]
        raise ConfigError(
            f"{len(missing)} Delta jars could not be fetched ({', '.join(missing)}): {' / '.join(tail)}",
            next_step="check the network, or set HUB_IVY_SETTINGS to your mirror's Ivy settings",
        )


def hub_jar(cache: Path) -> Path:
    """Our own Java classes, compiled from ``jobs/spark/java`` when a source changed."""
    sources = sorted(JAVA_SOURCES.rglob("*.java"))
    stamp = hashlib.sha256(b"".join(s.read_bytes() for s in sources)).hexdigest()[:16]
    jar = cache / "jars" / f"hub-{stamp}.jar"
    if jar.exists():
        return jar
    classes = cache / "classes" / stamp
    shutil.rmtree(classes, ignore_errors=True)
    classes.mkdir(parents=True)
    jar.parent.mkdir(parents=True, exist_ok=True)
    command = [java(), *JAVAC, "--release", "17", "-proc:none", "-Xlint:all,-classfile,-path", "-d", str(classes)]
    # the compiler module, unlike its launcher, expands no wildcard
    libraries = (p for p in (spark_home() / "jars").glob("*.jar") if p.name.startswith(COMPILED_AGAINST))
    command += ["-cp", ":".join(map(str, libraries)), *map(str, sources)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise ConfigError(
            f"The Java classes do not compile: {done.stderr.strip()[-800:]}",
            next_step="install a Java runtime that has the jdk.compiler module (Debian's openjdk-17-jre-headless has)",
        )
    partial = jar.with_suffix(".part")
    with zipfile.ZipFile(partial, "w") as archive:
        for file in sorted(classes.rglob("*.class")):
            archive.write(file, file.relative_to(classes))
    partial.rename(jar)
    return jar
