//! Whether a device is the CPU.

use burn::tensor::Device;

/// Whether this is the CPU backend.
pub fn is_cpu(device: &Device) -> bool {
    device.clone().without_autodiff() == Device::flex()
}
