"""`python -m bench.efficacy`; `--help` tells the rest."""

import os
import warnings

for library in ("OMP", "OPENBLAS", "MKL"):  # before NumPy: many threads make small products slower and less repeatable
    os.environ.setdefault(f"{library}_NUM_THREADS", "1")
warnings.filterwarnings("ignore", message="PyTorch not found")  # ART, about parts that are not used

from bench.efficacy.run import main  # noqa: E402

main()
