import pytest
import torch

from res3d.training.optimizers import OPTIMIZERS, Adam, AdamW, Sgd


def groups_of(weight: torch.Tensor, bias: torch.Tensor) -> list[dict[str, object]]:
    return [
        {"name": "weights", "params": [weight], "lr": 0.5, "weight_decay": 0.1},
        {"name": "biases", "params": [bias], "weight_decay": 0.0},
    ]


@pytest.mark.parametrize(
    ("name", "settings", "kind"),
    [("adamw", AdamW, torch.optim.AdamW), ("adam", Adam, torch.optim.Adam), ("sgd", Sgd, torch.optim.SGD)],
)
def test_groups_keep_their_learning_rate_and_weight_decay(name, settings, kind):
    assert OPTIMIZERS[name] is settings
    optimizer = settings().build(groups_of(torch.zeros(1), torch.zeros(1)), 0.25)
    assert type(optimizer) is kind
    assert [(group["name"], group["lr"], group["weight_decay"]) for group in optimizer.param_groups] == [
        ("weights", 0.5, 0.1),
        ("biases", 0.25, 0.0),
    ]


def test_sgd_steps_computed_by_hand():
    """v = momentum * v + gradient + decay * weight; weight -= rate * v."""
    weight, bias = (torch.ones(1, requires_grad=True) for _ in range(2))
    optimizer = Sgd(momentum=0.5).build(groups_of(weight, bias), 0.25)
    for _ in range(2):
        weight.grad, bias.grad = torch.tensor([2.0]), torch.tensor([2.0])
        optimizer.step()
    assert bias.item() == pytest.approx(1 - 0.25 * 2 - 0.25 * 3)
    first = 1 - 0.5 * 2.1
    assert weight.item() == pytest.approx(first - 0.5 * (0.5 * 2.1 + 2 + 0.1 * first))


def test_adamw_decays_weights_apart_from_the_gradient():
    weight, bias = (torch.ones(1, requires_grad=True) for _ in range(2))
    optimizer = AdamW().build(groups_of(weight, bias), 0.25)
    weight.grad, bias.grad = torch.zeros(1), torch.zeros(1)
    optimizer.step()
    assert (weight.item(), bias.item()) == (pytest.approx(1 - 0.5 * 0.1), 1.0)


@pytest.mark.parametrize("momentum", [-0.1, 1.0])
def test_momentum_out_of_range_is_refused(momentum):
    with pytest.raises(ValueError, match=rf"momentum must be in \[0, 1\), not {momentum}"):
        Sgd(momentum=momentum)
