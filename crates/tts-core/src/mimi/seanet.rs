//! SEANet: convolutions between samples and features (Tagliasacchi et al., 2020).

use burn::tensor::Tensor;

use crate::config::{PadMode, SeanetConfig};
use crate::error::Result;
use crate::ops::{Activation, CausalConv, ConvGeometry, ConvState, Linear, Placement};
use crate::state::StateMemory;
use crate::weights::Scope;

/// One side of SEANet: convolutions and residual blocks in a row.
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
    /// A convolution, after an ELU unless it is the first.
    Conv {
        conv: CausalConv,
        before: Activation,
    },
    /// `x + conv1x1(ELU(conv(ELU(x))))`
    Residual { narrow: CausalConv, widen: Linear },
}

/// Past inputs of every stage of a stream.
#[derive(Debug)]
pub(super) struct SeanetState {
    convs: Vec<ConvState>,
}

impl Seanet {
    /// Features to samples.
    pub(super) fn decoder(
        weights: &Scope<'_>,
        config: &SeanetConfig,
        placement: &Placement,
    ) -> Result<Self> {
        let mut builder = Builder::new(weights, config, placement);
        let mut channels = config.n_filters << config.ratios.len();
        builder.conv(config.dimension, channels, config.kernel_size, 1)?;
        for &ratio in &config.ratios {
            builder.transposed(channels, channels / 2, 2 * ratio, ratio)?;
            channels /= 2;
            builder.residuals(channels)?;
        }
        builder.conv(channels, config.channels, config.last_kernel_size, 1)?;
        Ok(Self {
            stages: builder.stages,
        })
    }

    /// Samples to features.
    pub(super) fn encoder(
        weights: &Scope<'_>,
        config: &SeanetConfig,
        placement: &Placement,
    ) -> Result<Self> {
        let mut builder = Builder::new(weights, config, placement);
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

    pub(super) fn bytes(&self) -> usize {
        self.stages
            .iter()
            .map(|stage| match stage {
                Stage::Conv { conv, .. } => conv.bytes(),
                Stage::Residual { narrow, widen } => narrow.bytes() + widen.bytes(),
            })
            .sum()
    }

    fn convs(&self) -> impl Iterator<Item = &CausalConv> {
        self.stages.iter().map(|stage| match stage {
            Stage::Conv { conv, .. } | Stage::Residual { narrow: conv, .. } => conv,
        })
    }

    /// Numbers that the state of one stream holds.
    pub(super) fn state_numbers(&self) -> usize {
        self.convs().map(CausalConv::state_numbers).sum()
    }

    /// Numbers that a pass over so many steps of `channels` holds at once: a stage's input, and what the
    /// stage makes of it.
    pub(super) fn scratch_numbers(&self, mut steps: usize, mut channels: usize) -> usize {
        let mut most = 0;
        for stage in &self.stages {
            let input = steps * channels;
            match stage {
                Stage::Conv { conv, .. } => {
                    most = most.max(input + conv.scratch_numbers(steps));
                    steps = conv.steps_out(steps);
                    channels = conv.channels_out();
                }
                Stage::Residual { narrow, .. } => {
                    most = most.max(input + narrow.scratch_numbers(steps) + input);
                }
            }
        }
        most
    }

    /// The state of streams that have not begun.
    pub(super) fn state(&self, batch: usize, memory: &StateMemory) -> Result<SeanetState> {
        let convs = self.convs().map(|conv| conv.state(batch, memory));
        Ok(SeanetState {
            convs: convs.collect::<Result<_>>()?,
        })
    }

    /// # Shapes
    ///
    /// `x` [batch, step, channel]; steps are features or samples
    pub(super) fn forward(
        &self,
        mut x: Tensor<3>,
        state: &mut SeanetState,
        placement: &Placement,
    ) -> Tensor<3> {
        for (stage, state) in self.stages.iter().zip(&mut state.convs) {
            x = match stage {
                Stage::Conv { conv, before } => conv.forward(x, state, *before, placement),
                Stage::Residual { narrow, widen } => {
                    let hidden = narrow.forward(x.clone(), state, Activation::Elu, placement);
                    let hidden = Activation::Elu.forward(hidden, placement.kernels());
                    widen.forward_add(hidden, x)
                }
            };
        }
        x
    }
}

/// Names the layers as the weights file does: activations count, and have no tensors.
struct Builder<'a> {
    weights: &'a Scope<'a>,
    config: &'a SeanetConfig,
    placement: &'a Placement,
    stages: Vec<Stage>,
    index: usize,
}

impl<'a> Builder<'a> {
    fn new(weights: &'a Scope<'a>, config: &'a SeanetConfig, placement: &'a Placement) -> Self {
        Self {
            weights,
            config,
            placement,
            stages: Vec::new(),
            index: 0,
        }
    }

    /// The activation before the next convolution, which the first does not have.
    fn before(&mut self) -> Activation {
        if self.stages.is_empty() {
            Activation::Identity
        } else {
            self.index += 1;
            Activation::Elu
        }
    }

    fn conv(&mut self, inputs: usize, outputs: usize, kernel: usize, stride: usize) -> Result<()> {
        let before = self.before();
        let conv = self.load(
            &format!("{}.conv", self.index),
            ConvGeometry {
                inputs,
                outputs,
                kernel,
                stride,
                dilation: 1,
                replicate: self.config.pad_mode == PadMode::Replicate,
            },
        )?;
        self.stages.push(Stage::Conv { conv, before });
        self.index += 1;
        Ok(())
    }

    fn transposed(
        &mut self,
        inputs: usize,
        outputs: usize,
        kernel: usize,
        stride: usize,
    ) -> Result<()> {
        let before = self.before();
        let scope = self.weights.scope(&format!("{}.convtr", self.index));
        let conv = CausalConv::transposed(
            &scope.floats("weight")?,
            Some(&scope.floats("bias")?),
            ConvGeometry {
                inputs,
                outputs,
                kernel,
                stride,
                dilation: 1,
                replicate: false,
            },
            self.placement,
        );
        self.stages.push(Stage::Conv { conv, before });
        self.index += 1;
        Ok(())
    }

    fn residuals(&mut self, channels: usize) -> Result<()> {
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
            let widen = self.weights.scope(&format!("{}.block.3.conv", self.index));
            let stage = Stage::Residual {
                narrow: self.load(&format!("{}.block.1.conv", self.index), narrow)?,
                // A convolution over one step is a linear layer.
                widen: Linear::new(
                    &widen.floats("weight")?,
                    [channels, hidden],
                    Some(&widen.floats("bias")?),
                    self.placement,
                ),
            };
            self.stages.push(stage);
            self.index += 1;
        }
        Ok(())
    }

    fn load(&self, name: &str, geometry: ConvGeometry) -> Result<CausalConv> {
        let scope = self.weights.scope(name);
        Ok(CausalConv::new(
            &scope.floats("weight")?,
            Some(&scope.floats("bias")?),
            geometry,
            self.placement,
        ))
    }
}
