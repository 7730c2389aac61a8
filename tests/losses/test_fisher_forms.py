"""The three forms of the Fisher divergence against each other."""

from __future__ import annotations

import numpy as np
import pytest

from refbss.losses.fisher import fisher_forward
from refbss.verification.draw import generator, normal

SETTINGS = {"gaussian": (1.0, 0.0), "student": (3.0, 0.0), "power": (0.7, 0.2), "laplace": (1.0, 0.2)}
DRAWS = 200_000


def posterior(family: str, dim: int, draws: int) -> dict[str, np.ndarray]:
    """One posterior of a fixed mean and variance, and ``draws`` samples of its noise."""
    rng = generator(7, "fisher forms", family)
    mu, log_var, log_r = normal(rng, dim), normal(rng, dim, mean=-0.7, scale=0.4), normal(rng, dim, scale=0.3)
    return {
        "mu": np.tile(mu, (draws, 1)),
        "log_var": np.tile(log_var, (draws, 1)),
        "eps": normal(rng, draws, dim),
        "log_r": log_r,
        "shape": np.array([SETTINGS[family][0]]),
    }


@pytest.mark.parametrize("family", SETTINGS)
def test_implicit_and_explicit_agree_in_expectation(family: str, figures: dict[str, str]) -> None:
    arrays = posterior(family, 3, DRAWS)
    samples = {
        form: fisher_forward(*arrays.values(), family=family, form=form, offset=SETTINGS[family][1])[0]
        for form in ("explicit", "implicit")
    }
    samples["difference"] = samples["explicit"] - samples["implicit"]
    error = {name: float(f.std(ddof=1) / np.sqrt(DRAWS)) for name, f in samples.items()}
    text = ", ".join(f"{name} {f.mean():.5f} +- {error[name]:.5f}" for name, f in samples.items())
    figures[f"Fisher divergence, {family}"] = f"{text} (standard errors, {DRAWS} draws)"
    assert abs(samples["difference"].mean()) <= 3.0 * error["difference"], f"{family} seed 7: {text}"
    assert error["difference"] < 0.02 * samples["explicit"].mean()


@pytest.mark.parametrize("family", SETTINGS)
@pytest.mark.parametrize("log_var", [-3.0, 0.4])
def test_weighted_is_the_explicit_form_times_an_isotropic_variance(family: str, log_var: float) -> None:
    arrays = posterior(family, 4, 5)
    arrays["log_var"] = np.full_like(arrays["mu"], log_var)
    offset = SETTINGS[family][1]
    explicit, _ = fisher_forward(*arrays.values(), family=family, form="explicit", offset=offset)
    weighted, _ = fisher_forward(*arrays.values(), family=family, form="weighted", offset=offset)
    assert weighted == pytest.approx(np.exp(log_var) * explicit, rel=1e-13)


@pytest.mark.parametrize("family", SETTINGS)
def test_weighted_stays_bounded_where_the_explicit_form_blows_up(family: str) -> None:
    arrays = posterior(family, 4, 5)
    arrays["log_var"] = np.full_like(arrays["mu"], -20.0)
    offset = SETTINGS[family][1]
    explicit, _ = fisher_forward(*arrays.values(), family=family, form="explicit", offset=offset)
    weighted, _ = fisher_forward(*arrays.values(), family=family, form="weighted", offset=offset)
    assert np.all(explicit > 1e6)
    assert weighted == pytest.approx(0.5 * (arrays["eps"] ** 2).sum(axis=1), rel=1e-2)


def test_gaussian_divergence_in_closed_form() -> None:
    """E 1/2 |psi - grad log q|^2 = 1/2 sum (mu^2 / r^2 + (1/r - 1/sig^2)^2 sig^2) for Gaussians."""
    arrays = posterior("gaussian", 3, DRAWS)
    f, _ = fisher_forward(*arrays.values(), family="gaussian", form="explicit")
    mu, variance, r = arrays["mu"][0], np.exp(arrays["log_var"][0]), np.exp(arrays["log_r"])
    exact = 0.5 * np.sum(mu**2 / r**2 + (1.0 / r - 1.0 / variance) ** 2 * variance)
    assert abs(f.mean() - exact) <= 3.0 * f.std(ddof=1) / np.sqrt(DRAWS)


def test_default_form_is_weighted() -> None:
    arrays = posterior("student", 3, 2)
    default, _ = fisher_forward(*arrays.values(), family="student")
    weighted, _ = fisher_forward(*arrays.values(), family="student", form="weighted")
    assert np.array_equal(default, weighted)


def test_default_offset_is_none() -> None:
    arrays = posterior("power", 3, 2)
    default, _ = fisher_forward(*arrays.values(), family="power")
    wanted, _ = fisher_forward(*arrays.values(), family="power", offset=0.0)
    assert np.array_equal(default, wanted)


@pytest.mark.parametrize("family", ["gaussian", "laplace"])
def test_a_family_without_a_parameter_does_not_look_at_it(family: str) -> None:
    arrays = posterior(family, 3, 2)
    wanted, _ = fisher_forward(*arrays.values(), family=family, offset=0.2)
    arrays["shape"] = np.array([-1.0])
    assert np.array_equal(fisher_forward(*arrays.values(), family=family, offset=0.2)[0], wanted)
