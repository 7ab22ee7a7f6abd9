//! SEANet: convolutions between samples and features (Tagliasacchi et al., 2020).

use burn::tensor::Tensor;

use crate::config::{PadMode, SeanetConfig};
use crate::ops::{Activation, Backend, CausalConv, ConvGeometry, ConvState, Linear};
use crate::state::StateMemory;
use crate::weights::{Loader, WeightsError};

/// SEANet's encoder or decoder: a sequence of convolutions and residual blocks.
#[derive(Debug)]
pub(super) struct Seanet {
    stages: Vec<Stage>,
}

#[derive(Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "a model has a few hundred of these"
)]
enum Stage {
    /// A convolution, preceded by an ELU unless it is the first.
    Conv {
        conv: CausalConv,
        before: Activation,
    },
    /// `x + conv1x1(ELU(conv(ELU(x))))`
    Residual { narrow: CausalConv, widen: Linear },
}

/// The state of every stage for a batch of streams.
#[derive(Debug)]
pub(super) struct SeanetState {
    convs: Vec<ConvState>,
}

impl Seanet {
    /// Loads the decoder: features to samples.
    pub(super) fn decoder(
        loader: &Loader<'_>,
        config: &SeanetConfig,
    ) -> Result<Self, WeightsError> {
        let mut builder = Builder::new(loader, config);
        let mut channels = config.n_filters << config.ratios.len();
        builder.conv(config.dimension, channels, config.kernel_size, 1)?;
        for &ratio in &config.ratios {
            builder.transposed(channels, channels / 2, ratio)?;
            channels /= 2;
            builder.residuals(channels)?;
        }
        builder.conv(channels, config.channels, config.last_kernel_size, 1)?;
        Ok(Self {
            stages: builder.stages,
        })
    }

    /// Loads the encoder: samples to features.
    pub(super) fn encoder(
        loader: &Loader<'_>,
        config: &SeanetConfig,
    ) -> Result<Self, WeightsError> {
        let mut builder = Builder::new(loader, config);
        let mut channels = config.n_filters;
        builder.conv(config.channels, channels, config.kernel_size, 1)?;
        for &ratio in config.ratios.iter().rev() {
            builder.residuals(channels)?;
            builder.conv(channels, 2 * channels, 2 * ratio, ratio)?;
            channels *= 2;
        }
        builder.conv(channels, config.dimension, config.last_kernel_size, 1)?;
        Ok(Self {
            stages: builder.stages,
        })
    }

    fn convs(&self) -> impl Iterator<Item = &CausalConv> {
        self.stages.iter().map(|stage| match stage {
            Stage::Conv { conv, .. } | Stage::Residual { narrow: conv, .. } => conv,
        })
    }

    /// Elements of the state of one stream.
    pub(super) fn state_elements(&self) -> usize {
        self.convs().map(CausalConv::state_elements).sum()
    }

    /// Upper bound of elements allocated at a time by `forward` over `count` inputs of `channels`: a
    /// stage's input and what the stage allocates.
    pub(super) fn scratch_elements(&self, mut count: usize, mut channels: usize) -> usize {
        let mut largest = 0;
        for stage in &self.stages {
            let input = count * channels;
            match stage {
                Stage::Conv { conv, .. } => {
                    largest = largest.max(input + conv.scratch_elements(count));
                    count = conv.outputs_for(count);
                    channels = conv.output_channels();
                }
                Stage::Residual { narrow, .. } => {
                    // The branch is added to the input in place.
                    largest = largest.max(input + narrow.scratch_elements(count));
                }
            }
        }
        largest
    }

    /// The state of streams that have not started.
    pub(super) fn state(
        &self,
        batch: usize,
        memory: &StateMemory,
    ) -> Result<SeanetState, tensor_pool::Error> {
        let convs = self.convs().map(|conv| conv.state(batch, memory));
        Ok(SeanetState {
            convs: convs.collect::<Result<_, _>>()?,
        })
    }

    /// Transforms the next samples or features of a batch of streams.
    ///
    /// # Shapes
    ///
    /// `x` [batch, time, channel] -> [batch, time at the output rate, channel]
    pub(super) fn forward(
        &self,
        mut x: Tensor<3>,
        state: &mut SeanetState,
        backend: &Backend,
    ) -> Tensor<3> {
        for (stage, state) in self.stages.iter().zip(&mut state.convs) {
            x = match stage {
                Stage::Conv { conv, before } => conv.forward(x, state, *before, backend),
                Stage::Residual { narrow, widen } => {
                    let hidden = narrow.forward(x.clone(), state, Activation::Elu, backend);
                    let hidden = Activation::Elu.forward(hidden, backend);
                    widen.forward_add(hidden, x)
                }
            };
        }
        x
    }
}

/// Loads stages by their index in the weights file, in which activations count as layers.
struct Builder<'a> {
    loader: &'a Loader<'a>,
    config: &'a SeanetConfig,
    stages: Vec<Stage>,
    index: usize,
}

impl<'a> Builder<'a> {
    fn new(loader: &'a Loader<'a>, config: &'a SeanetConfig) -> Self {
        Self {
            loader,
            config,
            stages: Vec::new(),
            index: 0,
        }
    }

    /// The activation before the next convolution. The first has none.
    fn before(&mut self) -> Activation {
        if self.stages.is_empty() {
            Activation::Identity
        } else {
            self.index += 1;
            Activation::Elu
        }
    }

    fn conv(
        &mut self,
        inputs: usize,
        outputs: usize,
        kernel: usize,
        stride: usize,
    ) -> Result<(), WeightsError> {
        let before = self.before();
        let geometry = ConvGeometry {
            inputs,
            outputs,
            kernel,
            stride,
            dilation: 1,
            replicate: self.config.pad_mode == PadMode::Replicate,
        };
        let name = format!("{}.conv", self.index);
        let conv = self.loader.conv(&name, geometry)?;
        self.stages.push(Stage::Conv { conv, before });
        self.index += 1;
        Ok(())
    }

    fn transposed(
        &mut self,
        inputs: usize,
        outputs: usize,
        stride: usize,
    ) -> Result<(), WeightsError> {
        let before = self.before();
        let geometry = ConvGeometry {
            inputs,
            outputs,
            kernel: 2 * stride,
            stride,
            dilation: 1,
            replicate: false,
        };
        let name = format!("{}.convtr", self.index);
        let conv = self.loader.transposed_conv(&name, geometry)?;
        self.stages.push(Stage::Conv { conv, before });
        self.index += 1;
        Ok(())
    }

    fn residuals(&mut self, channels: usize) -> Result<(), WeightsError> {
        let hidden = channels / self.config.compress;
        for layer in 0..self.config.n_residual_layers {
            let narrow = ConvGeometry {
                inputs: channels,
                outputs: hidden,
                kernel: self.config.residual_kernel_size,
                stride: 1,
                dilation: self.config.dilation_base.pow(layer as u32),
                replicate: self.config.pad_mode == PadMode::Replicate,
            };
            let block = self.loader.scope(&format!("{}.block", self.index));
            self.stages.push(Stage::Residual {
                narrow: block.conv("1.conv", narrow)?,
                widen: block.pointwise("3.conv", [channels, hidden])?,
            });
            self.index += 1;
        }
        Ok(())
    }
}
