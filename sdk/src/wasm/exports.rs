//! What components export.

use std::marker::PhantomData;

use vitral_abi::wit::{FromWit, ToWit};
use vitral_abi::{Batch, Event, Layer, Sample, Setting};

use super::bindings::exports::vitral::plugin::*;
use super::bindings::vitral::plugin::tensors;
use super::host::{give, trace};
use super::plugin::{configure, start, with};
use crate::{
    Attention, BatchAugmentation, Image, ImageAugmentation, Monitor, Plugin, describe, tensor,
};

/// A plugin as a component.
pub struct Component<P>(PhantomData<P>);

impl<P: Plugin> description::Guest for Component<P> {
    fn describe() -> description::Description {
        start();
        describe::<P>().to_wit()
    }
}

fn plain(settings: Vec<description::Setting>) -> Vec<Setting> {
    FromWit::from_wit(settings)
}

impl<P: ImageAugmentation> image_augmentations::Guest for Component<P> {
    fn configure(settings: Vec<description::Setting>) -> Result<(), String> {
        configure::<P>(plain(settings))
    }

    fn augment(
        given: image_augmentations::Image,
        sample: image_augmentations::Sample,
    ) -> Result<Option<image_augmentations::Image>, String> {
        let image_augmentations::Image { width, height, channels, mut pixels } = given;
        let sample = Sample::from_wit(sample);
        with(|plugin: &mut P| {
            let mut image = Image::new(width, height, channels, &mut pixels);
            plugin.augment(&mut image, &sample)?;
            if !image.is_touched() {
                return Ok(None);
            }
            let (width, height) = (image.width(), image.height());
            let replaced = image.into_replaced();
            let pixels = replaced.unwrap_or(pixels);
            Ok(Some(image_augmentations::Image { width, height, channels, pixels }))
        })
    }
}

impl<P: BatchAugmentation> batch_augmentations::Guest for Component<P> {
    fn configure(settings: Vec<description::Setting>) -> Result<(), String> {
        configure::<P>(plain(settings))
    }

    fn trace(
        batch: batch_augmentations::Batch,
        images: &tensors::Tensor,
        targets: &tensors::Tensor,
    ) -> Result<batch_augmentations::Changed, String> {
        let batch = Batch::from_wit(batch);
        trace([images, targets], |[images, targets]| {
            with(|plugin: &mut P| {
                let results = plugin.trace(&batch, images, targets)?;
                let first = tensor::result(results.0, &[images, targets]);
                let second = tensor::result(results.1, &[images, targets, first]);
                let (images, targets) = (give(first), give(second));
                Ok(batch_augmentations::Changed { images, targets })
            })
        })
    }
}

impl<P: Attention> attentions::Guest for Component<P> {
    fn configure(settings: Vec<description::Setting>) -> Result<(), String> {
        configure::<P>(plain(settings))
    }

    fn trace(
        layer: attentions::Layer,
        query: &tensors::Tensor,
        key: &tensors::Tensor,
        value: &tensors::Tensor,
    ) -> Result<tensors::Tensor, String> {
        let layer = Layer::from_wit(layer);
        trace([query, key, value], |[query, key, value]| {
            with(|plugin: &mut P| {
                let result = plugin.trace(&layer, query, key, value)?;
                Ok(give(tensor::result(result, &[query, key, value])))
            })
        })
    }
}

impl<P: Monitor> monitors::Guest for Component<P> {
    fn configure(settings: Vec<description::Setting>) -> Result<monitors::Interests, String> {
        configure::<P>(plain(settings))?;
        with(|plugin: &mut P| Ok(plugin.interests().to_wit()))
    }

    fn observe(event: monitors::Event) -> Result<Vec<monitors::Action>, String> {
        observe::<P>(&Event::from_wit(event))
    }

    fn save() -> Vec<u8> {
        with(|plugin: &mut P| Ok(plugin.save())).unwrap_or_default()
    }

    fn restore(state: Vec<u8>) -> Result<(), String> {
        with(|plugin: &mut P| plugin.restore(&state))
    }
}

fn observe<P: Monitor>(event: &Event) -> Result<Vec<monitors::Action>, String> {
    with(|plugin: &mut P| Ok(plugin.observe(event)?.to_wit()))
}

macro_rules! later {
    (first $first:tt later {$(
        $(#[$($about:tt)*])*
        $Case:ident($Type:ident): $TAG:ident = $tag:literal, $field:ident,
        since $minor:literal, $interface:ident::$function:ident;
    )*}) => {$(
        impl<P: Monitor> $interface::Guest for Component<P> {
            fn $function(report: $interface::$Type) -> Result<Vec<monitors::Action>, String> {
                observe::<P>(&Event::$Case(FromWit::from_wit(report)))
            }
        }
    )*};
}

vitral_abi::contract_events!(later);
