"""Installation of pecl: `pip install -e .` gives the package and the command `pecl`."""

from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent


def requirements(name: str) -> list[str]:
    """Return the requirement lines of a file beside this one, without its comments."""
    lines = (line.partition("#")[0].strip() for line in (HERE / name).read_text("utf-8").splitlines())
    return [line for line in lines if line]


setup(
    name="pecl",
    version="0.1.0",
    description="Parameter-efficient cross-lingual transfer of CLIP by translation-based alignment",
    long_description=(HERE / "README.md").read_text("utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    python_requires=">=3.10",
    packages=find_packages(include=["pecl", "pecl.*"]),
    package_data={"pecl": ["encoders/loading/*.safetensors", "report/published/*.json", "report/page/static/*"]},
    install_requires=requirements("requirements.txt"),
    extras_require={
        "test": requirements("requirements-test.txt"),
        "openclip": ["open_clip_torch>=2.24"],
        "slurm": ["submitit>=1.5"],
        "ray": ["ray>=2.9"],
    },
    entry_points={"console_scripts": ["pecl = pecl.cli:main"]},
)
