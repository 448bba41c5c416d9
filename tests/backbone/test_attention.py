import pytest
import torch

from res3d.backbone.attention import ATTENTIONS


def test_squeeze_and_excitation_multiplies_channels_by_gates():
    module = ATTENTIONS["squeeze_excite"](32)
    x = torch.randn(2, 32, 3, 5, 7)
    for clip, y in zip(x, module(x), strict=True):
        means = clip.flatten(1).mean(dim=1)
        hidden = (module.squeeze.weight.flatten(1) @ means + module.squeeze.bias).clamp(min=0)
        logits = module.excite.weight.flatten(1) @ hidden + module.excite.bias
        gates = 1 / (1 + torch.exp(-logits))
        torch.testing.assert_close(y, clip * gates[:, None, None, None])


@pytest.mark.parametrize(("channels", "hidden"), [(64, 4), (40, 2), (16, 1), (8, 1)])
def test_the_squeezed_layer_has_a_sixteenth_of_the_channels(channels, hidden):
    module = ATTENTIONS["squeeze_excite"](channels)
    assert module.squeeze.out_channels == module.excite.in_channels == hidden
    assert module.excite.out_channels == channels


def test_no_attention_returns_its_input():
    x = torch.randn(1, 4, 2, 3, 3)
    assert ATTENTIONS["none"](4)(x) is x
