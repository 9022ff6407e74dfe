"""Vision transformers by name: their token grids are timm's, of any size that patches fit, whatever computes them."""

import re

import pytest
import timm
import torch
from safetensors.torch import save_file

from extensions.backbones import WeightsError, check_layers, default_layers, layer_table, load_backbone_weights
from extensions.backbones.frozen import FrozenFeatureExtractor, fix_to_size, freeze
from extensions.backbones.hub import address
from extensions.backbones.map_extractor import MapExtractor
from extensions.backbones.transformers import check_fits, fitting_size, is_plain, is_transformer, patch_size

REGISTERS, DINOV3, SWIN = (
    "vit_small_patch14_reg4_dinov2",
    "vit_tiny_patch16_dinov3_qkvb",
    "swin_tiny_patch4_window7_224",
)


def extractor(backbone: str, layers: list[str], **arguments: bool) -> MapExtractor:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return FrozenFeatureExtractor(backbone, layers, **arguments).eval()


def images(*size: int) -> torch.Tensor:
    return torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(1))


@pytest.fixture(autouse=True)
def through_torch(monkeypatch):
    monkeypatch.setenv("WORKBENCH_FEATURES", "torch")


@pytest.mark.parametrize(
    ("backbone", "is_one", "of_one_size", "side"),
    [
        ("vit_small_patch14_dinov2.lvd142m", True, True, 14),
        ("vit_base_patch16_dinov3.lvd1689m", True, True, 16),
        ("vit_tiny_r_s16_p8_224", True, True, 32),
        ("eva02_tiny_patch14_224", True, True, 14),
        (SWIN, True, False, 4),
        ("swinv2_tiny_window8_256", True, False, 4),
        ("resnet18", False, False, 1),
        ("mobilevit_s", False, False, 1),
    ],
)
def test_transformers_are_known_by_name(backbone, is_one, of_one_size, side):
    assert (is_transformer(backbone), is_plain(backbone), patch_size(backbone)) == (is_one, of_one_size, side)


@pytest.mark.parametrize("backbone", ["test_vit", REGISTERS, DINOV3])
def test_the_last_blocks_map_is_timms_features_without_class_and_register_tokens(backbone):
    last = layer_table(backbone)[-1]
    network = extractor(backbone, [last.name])
    full, side = network.feature_extractor, patch_size(backbone)
    shown = images(*full.patch_embed.img_size) if backbone == "test_vit" else images(6 * side, 4 * side)
    with torch.no_grad():
        tokens = full.forward_features(shown)[:, full.num_prefix_tokens :]  # (N, h * w, C)
    grid = (shown.shape[2] // side, shown.shape[3] // side)
    expected = torch.stack([one.T.reshape(-1, *grid) for one in tokens])
    found = network(shown)[last.name]
    assert found.shape == (2, last.channels, *grid)
    assert torch.equal(found, expected)


def test_a_swins_maps_are_timms_with_channels_first():
    network = extractor(SWIN, ["layers.1", "layers.3"])
    stock = timm.create_model(SWIN, features_only=True, out_indices=(1, 3)).eval()  # timm's, for 224 px, (N, h, w, C)
    complete = timm.create_model(SWIN)
    complete.load_state_dict(network.feature_extractor.state_dict())
    flattened = {re.sub(r"^layers\.", "layers_", name): tensor for name, tensor in complete.state_dict().items()}
    stock.load_state_dict({name: flattened[name] for name in stock.state_dict()})
    shown = images(224, 224)[:1]
    with torch.no_grad():
        middle, last = (maps.permute(0, 3, 1, 2) for maps in stock(shown))
        normed = complete.norm(last.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    found = network(shown)
    torch.testing.assert_close(found["layers.1"], middle, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found["layers.3"], normed, atol=1e-5, rtol=1e-4)


def test_position_embeddings_of_another_size_are_resampled_by_timm():
    network = extractor("test_vit", ["blocks.1"])
    other = timm.create_model("test_vit", img_size=(224, 96)).eval()  # for this size alone
    full = network.feature_extractor
    resampled = timm.layers.resample_abs_pos_embed(
        full.pos_embed, new_size=[14, 6], old_size=[10, 10], num_prefix_tokens=1, antialias=False
    )
    other.load_state_dict(full.state_dict() | {"pos_embed": resampled})
    shown = images(224, 96)
    with torch.no_grad():
        (expected,) = other.forward_intermediates(shown, indices=[1], norm=True, intermediates_only=True)
    torch.testing.assert_close(network(shown)["blocks.1"], expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("backbone", ["test_vit", DINOV3, "eva02_tiny_patch14_224", "vit_tiny_r_s16_p8_224"])
def test_a_network_fixed_to_a_size_gives_the_same(backbone):
    layers = list(default_layers(backbone))
    network, side = extractor(backbone, layers), patch_size(backbone)
    shown = images(5 * side, 3 * side)
    fixed = fix_to_size(network, (5 * side, 3 * side))
    assert not fixed.feature_extractor.dynamic_img_size
    assert network.feature_extractor.dynamic_img_size  # the first one stays as it is
    for layer, maps in network(shown).items():
        torch.testing.assert_close(fixed(shown)[layer], maps, atol=1e-5, rtol=1e-5)
    assert fix_to_size(torch.nn.Identity(), (5, 5)) is not None


def test_features_through_openvino_are_those_of_torch_at_each_size(monkeypatch, caplog):
    network = extractor("test_vit", ["blocks.1", "blocks.3"])
    for size in [(64, 64), (32, 96)]:
        monkeypatch.setenv("WORKBENCH_FEATURES", "torch")
        expected = network(images(*size))
        monkeypatch.setenv("WORKBENCH_FEATURES", "openvino")
        found = network(images(*size))
        assert network._runner is not None
        for layer, maps in expected.items():
            torch.testing.assert_close(found[layer], maps, atol=1e-4, rtol=1e-4)
    assert "come from torch" not in caplog.text
    assert network.engine == "openvino, by size"


def test_anomalibs_extractor_is_frozen_as_ours_is_built():
    from anomalib.models.components import TimmFeatureExtractor

    stock = TimmFeatureExtractor("test_vit", ["blocks.1", "blocks.3"], pre_trained=False).eval()
    expected, shown = stock(images(64, 64)), images(64, 64)
    for layer, maps in freeze(stock)(shown).items():
        assert torch.equal(maps, expected[layer])


def test_blocks_behind_the_last_layer_do_not_run():
    network = extractor("test_vit", ["blocks.1"])
    ran = []
    network.feature_extractor.blocks[2].register_forward_hook(lambda *_: ran.append(1))
    network(images(32, 32))
    assert not ran


@pytest.mark.parametrize(
    ("backbone", "reductions", "expected"),
    [
        ("vit_small_patch14_dinov2", (8, 16), ("blocks.5", "blocks.8")),
        ("vit_small_patch14_dinov2", (4, 8, 16), ("blocks.2", "blocks.5", "blocks.8")),
        ("vit_large_patch16_dinov3", (4, 8, 16, 32), ("blocks.5", "blocks.11", "blocks.17", "blocks.23")),
        (SWIN, (4, 8, 16), ("layers.0", "layers.1", "layers.2")),
    ],
)
def test_default_layers_stand_at_quarters_of_the_depth(backbone, reductions, expected):
    assert default_layers(backbone, reductions=reductions) == expected


def test_names_of_other_layers_are_refused_with_the_right_ones():
    with pytest.raises(ValueError, match=r"no layer 'layer2'.*blocks\.0 .*blocks\.11 .384 channels, stride 14"):
        check_layers("vit_small_patch14_dinov2", ["layer2"])
    with pytest.raises(ValueError, match=r"nearest: layers\.\d.; choose from layers\.0 .96 channels, stride 4."):
        check_layers(SWIN, ["layers.9"])


def test_images_that_patches_do_not_fit_are_refused_with_the_nearest_size():
    assert fitting_size("vit_small_patch14_dinov2", (256, 5)) == (252, 14)
    assert fitting_size("resnet18", (255, 5)) == (255, 5)
    check_fits("vit_small_patch14_dinov2", (448, 518))
    with pytest.raises(ValueError, match=r"100 x 64 px do not fit backbone 'test_vit'.*16 px.*96 x 64 px"):
        extractor("test_vit", ["blocks.1"])(images(100, 64))


def test_hub_addresses_are_timms():
    assert str(address("vit_small_patch14_dinov2.lvd142m")) == "timm/vit_small_patch14_dinov2.lvd142m"
    assert str(address("vit_small_patch16_dinov3.lvd1689m")) == "timm/vit_small_patch16_dinov3.lvd1689m"


def test_a_file_for_images_of_another_size_is_resampled_with_a_word(tmp_path, caplog):
    source = timm.create_model("test_vit", img_size=64).eval()
    save_file({f"module.{name}": tensor for name, tensor in source.state_dict().items()}, tmp_path / "w.safetensors")
    network = extractor("test_vit", ["blocks.1"])
    load_backbone_weights(network, "test_vit", tmp_path / "w.safetensors")
    assert "for 17 tokens, resampled to 101" in caplog.text
    expected = timm.create_model("test_vit", checkpoint_path=None)
    from timm.models.vision_transformer import checkpoint_filter_fn

    expected.load_state_dict(checkpoint_filter_fn(source.state_dict(), expected))
    for name, tensor in expected.state_dict().items():
        assert torch.equal(network.feature_extractor.state_dict()[name], tensor), name


def test_an_old_file_of_a_swin_loads_as_timm_loads_it(tmp_path):
    source = timm.create_model(SWIN).eval()
    old = {
        re.sub(r"layers\.(\d)\.downsample", lambda m: f"layers.{int(m[1]) - 1}.downsample", name): tensor
        for name, tensor in source.state_dict().items()
    }
    old["head.weight"], old["head.bias"] = old.pop("head.fc.weight"), old.pop("head.fc.bias")
    old["layers.0.blocks.1.attn_mask"] = torch.zeros(64, 49, 49)
    torch.save({"model": old}, tmp_path / "swin.pth")
    network = extractor(SWIN, ["layers.2"])
    load_backbone_weights(network, SWIN, tmp_path / "swin.pth")
    state = network.feature_extractor.state_dict()
    assert all(torch.equal(state[name], tensor) for name, tensor in source.state_dict().items())


@pytest.mark.parametrize(
    ("other", "backbone", "said"),
    [
        ("vit_tiny_patch16_224", "test_vit", "wrong shape"),
        ("test_vit2", "test_vit", "not the weights"),
        ("swin_tiny_patch4_window7_224", "test_vit", "not the weights"),
        ("resnet18", "test_vit", "missing"),
    ],
)
def test_files_of_other_architectures_are_refused(other, backbone, said, tmp_path):
    torch.save(timm.create_model(other).state_dict(), tmp_path / "w.pth")
    network = extractor(backbone, ["blocks.1"])
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with pytest.raises(WeightsError, match=said):
        load_backbone_weights(network, backbone, tmp_path / "w.pth")
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())


def test_kernels_of_other_patches_are_not_resampled(tmp_path):
    state = timm.create_model("test_vit").state_dict()
    state["patch_embed.proj.weight"] = torch.zeros(64, 3, 14, 14)
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=r"patch_embed\.proj\.weight \(found \(64, 3, 14, 14\)"):
        load_backbone_weights(extractor("test_vit", ["blocks.1"]), "test_vit", tmp_path / "w.pth")
