//! Loading of a component's tensors into layers, and dry runs of it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use super::tensor::Floats;
use super::{Result, RowTable, Weights};
use crate::ledger::Ledger;
use crate::ops::{
    Backend, CausalConv, ConvGeometry, DepthwiseUpsample, LayerNorm, Linear, Vector, transposed,
};

/// A component of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Component {
    /// Text to latents.
    FlowLm,
    /// Latents to audio.
    Decoder,
    /// Audio to a voice. A weights file may omit all of it.
    VoiceEncoder,
}

/// A tensor that a model needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorSpec {
    /// Its name in a single-file model.
    pub name: String,
    /// Its dimensions, outermost first.
    pub shape: Vec<usize>,
    /// The component that it belongs to.
    pub component: Component,
}

/// Loads the tensors of one component and prepares them for a backend.
///
/// Components get tensors only through a loader, which checks every shape against the header. In a dry
/// run, the loader records what the component requests and reads nothing. The list of expected tensors
/// and the bytes that loading takes come from dry runs, so they always agree with the loading code.
#[derive(Clone, Debug)]
pub(crate) struct Loader<'a> {
    /// `None` in a dry run.
    weights: Option<Opened<'a>>,
    backend: Backend,
    component: Component,
    prefix: String,
    record: Rc<Record>,
}

/// Opened files, and the ledger that counts their mapped tensors.
#[derive(Clone, Copy, Debug)]
struct Opened<'a> {
    weights: &'a Weights,
    ledger: &'a Ledger,
}

/// What a loader and the loaders of its scopes have loaded.
#[derive(Debug, Default)]
struct Record {
    /// Filled in dry runs only.
    specs: RefCell<Vec<TensorSpec>>,
    prepared_bytes: Cell<usize>,
    peak_bytes: Cell<usize>,
    table_bytes: Cell<usize>,
}

impl<'a> Loader<'a> {
    /// Loads `component` from `weights`.
    pub(crate) fn new(
        weights: &'a Weights,
        component: Component,
        backend: &Backend,
        ledger: &'a Ledger,
    ) -> Self {
        Self::with(Some(Opened { weights, ledger }), component, backend.clone())
    }

    /// Records what `component` loads. Layers have shapes but no values.
    pub(crate) fn dry_run(component: Component) -> Self {
        Self::with(None, component, Backend::DryRun)
    }

    fn with(weights: Option<Opened<'a>>, component: Component, backend: Backend) -> Self {
        Self {
            weights,
            backend,
            component,
            prefix: String::new(),
            record: Rc::default(),
        }
    }

    /// A loader for the tensors below `prefix`.
    pub(crate) fn scope(&self, prefix: &str) -> Self {
        Self {
            prefix: format!("{}{prefix}.", self.prefix),
            ..self.clone()
        }
    }

    /// The backend that tensors are prepared for.
    pub(crate) fn backend(&self) -> &Backend {
        &self.backend
    }

    /// Bytes of all weights prepared so far; an upper bound over all backends in a dry run.
    pub(crate) fn prepared_bytes(&self) -> usize {
        self.record.prepared_bytes.get()
    }

    /// Most bytes at a time so far: weights that are prepared, and copies of the tensor that is being
    /// prepared.
    pub(crate) fn peak_bytes(&self) -> usize {
        self.record.peak_bytes.get()
    }

    /// Upper bound of the bytes of all tables, which stay in their file.
    pub(crate) fn table_bytes(&self) -> usize {
        self.record.table_bytes.get()
    }

    /// The tensors recorded by a dry run, in the order of loading.
    pub(crate) fn into_specs(self) -> Vec<TensorSpec> {
        self.record.specs.take()
    }

    /// Loads small values that stay on the host. Empty in a dry run.
    pub(crate) fn values(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let floats = self.vector(name, shape)?;
        Ok(floats.map_or_else(Vec::new, Floats::into_vec))
    }

    /// Opens `name.weight` as a table whose rows stay in the file.
    pub(crate) fn row_table(&self, name: &str, [rows, width]: [usize; 2]) -> Result<RowTable> {
        let name = format!("{name}.weight");
        add(&self.record.table_bytes, rows * width * size_of::<f32>());
        match self.request(&name, &[rows, width])? {
            Some((opened, name)) => {
                let directory = &opened.weights.directory;
                directory.row_table(&name, width, opened.ledger)
            }
            None => Ok(RowTable::empty(width)),
        }
    }

    /// Loads `name.weight` [width] and `name.bias` [width].
    pub(crate) fn layer_norm(&self, name: &str, width: usize, epsilon: f32) -> Result<LayerNorm> {
        let scale = self.values(&format!("{name}.weight"), &[width])?;
        let offset = self.values(&format!("{name}.bias"), &[width])?;
        Ok(LayerNorm::new(&scale, &offset, epsilon, &self.backend))
    }

    /// Loads `name.weight` [outputs, inputs].
    pub(crate) fn linear(&self, name: &str, shape: [usize; 2]) -> Result<Linear> {
        self.linear_tensor(&format!("{name}.weight"), shape)
    }

    /// Loads the tensor `name` [outputs, inputs] as a linear layer.
    pub(crate) fn linear_tensor(&self, name: &str, shape: [usize; 2]) -> Result<Linear> {
        let weights = self.floats(name, &shape)?;
        Ok(self.prepared(
            Linear::new(values(&weights), shape, None, &self.backend),
            shape,
        ))
    }

    /// Loads `name.weight` [outputs, inputs] and `name.bias` [outputs].
    pub(crate) fn biased_linear(&self, name: &str, shape: [usize; 2]) -> Result<Linear> {
        self.with_bias(name, &shape, shape)
    }

    /// Loads a convolution over one input, `name.weight` [outputs, inputs, 1] and `name.bias`
    /// [outputs], as a linear layer.
    pub(crate) fn pointwise(&self, name: &str, [outputs, inputs]: [usize; 2]) -> Result<Linear> {
        self.with_bias(name, &[outputs, inputs, 1], [outputs, inputs])
    }

    /// Loads the tensor `name`, stored as `stored`, as the weights [outputs, inputs] of a linear layer.
    /// `prepare` changes the weights in place and may return a bias. A dry run does not call it.
    pub(crate) fn linear_with(
        &self,
        name: &str,
        stored: &[usize],
        shape: [usize; 2],
        prepare: impl FnOnce(&mut [f32]) -> Option<Vec<f32>>,
    ) -> Result<Linear> {
        let (weights, bias) = match self.floats(name, stored)? {
            Some(floats) => {
                let mut weights = floats.into_vec();
                let bias = prepare(&mut weights);
                (weights, bias)
            }
            None => (Vec::new(), None),
        };
        let linear = Linear::new(&weights, shape, bias.as_deref(), &self.backend);
        Ok(self.prepared(linear, shape))
    }

    /// Loads `name.weight` [outputs, inputs, kernel] and `name.bias` [outputs].
    pub(crate) fn conv(&self, name: &str, geometry: ConvGeometry) -> Result<CausalConv> {
        let weights = self.conv_weights(name, geometry)?;
        let bias = self.vector(&format!("{name}.bias"), &[geometry.outputs])?;
        let (weights, bias) = (values(&weights), values(&bias));
        let conv = CausalConv::new(weights, Some(bias), geometry, &self.backend);
        Ok(self.prepared_conv(conv, geometry))
    }

    /// Loads `name.weight` [outputs, inputs, kernel].
    pub(crate) fn unbiased_conv(&self, name: &str, geometry: ConvGeometry) -> Result<CausalConv> {
        let weights = self.conv_weights(name, geometry)?;
        let conv = CausalConv::new(values(&weights), None, geometry, &self.backend);
        Ok(self.prepared_conv(conv, geometry))
    }

    /// Loads `name.weight` [inputs, outputs, kernel] and `name.bias` [outputs].
    pub(crate) fn transposed_conv(&self, name: &str, geometry: ConvGeometry) -> Result<CausalConv> {
        let ConvGeometry {
            inputs,
            outputs,
            kernel,
            ..
        } = geometry;
        let weights = self.floats(&format!("{name}.weight"), &[inputs, outputs, kernel])?;
        let bias = self.vector(&format!("{name}.bias"), &[outputs])?;
        let (weights, bias) = (values(&weights), values(&bias));
        let conv = CausalConv::transposed(weights, Some(bias), geometry, &self.backend);
        Ok(self.prepared_conv(conv, geometry))
    }

    /// Loads `name.weight` [channels, 1, 2 * stride].
    pub(crate) fn upsample(
        &self,
        name: &str,
        channels: usize,
        stride: usize,
    ) -> Result<DepthwiseUpsample> {
        let floats = self.vector(&format!("{name}.weight"), &[channels, 1, 2 * stride])?;
        let rows = floats.map_or_else(Vec::new, |floats| {
            transposed(&floats, [channels, 2 * stride])
        });
        let weight = Vector::new(&rows, &self.backend);
        Ok(DepthwiseUpsample::new(weight, channels, stride))
    }

    fn with_bias(&self, name: &str, stored: &[usize], shape: [usize; 2]) -> Result<Linear> {
        let weights = self.floats(&format!("{name}.weight"), stored)?;
        let bias = self.vector(&format!("{name}.bias"), &shape[..1])?;
        let (weights, bias) = (values(&weights), values(&bias));
        Ok(self.prepared(
            Linear::new(weights, shape, Some(bias), &self.backend),
            shape,
        ))
    }

    fn conv_weights(&self, name: &str, geometry: ConvGeometry) -> Result<Option<Floats>> {
        let shape = [geometry.outputs, geometry.inputs, geometry.kernel];
        self.floats(&format!("{name}.weight"), &shape)
    }

    /// Counts a linear layer. While it is prepared, its weights are also present as f32, whatever their
    /// stored type.
    fn prepared(&self, linear: Linear, [outputs, inputs]: [usize; 2]) -> Linear {
        self.add_prepared(linear.bytes(), outputs * inputs);
        linear
    }

    /// Counts a convolution. While it is prepared, its weights are also present as f32, as stored and in
    /// the order of the kernels.
    fn prepared_conv(&self, conv: CausalConv, geometry: ConvGeometry) -> CausalConv {
        let ConvGeometry {
            inputs,
            outputs,
            kernel,
            stride,
            ..
        } = geometry;
        let ordered = inputs * outputs * kernel.next_multiple_of(stride);
        self.add_prepared(conv.bytes(), inputs * outputs * kernel + ordered);
        conv
    }

    /// Counts weights whose preparation takes `copies` more elements.
    fn add_prepared(&self, bytes: usize, copies: usize) {
        let record = &self.record;
        add(&record.prepared_bytes, bytes);
        let copies = copies.saturating_mul(size_of::<f32>());
        let now = record.prepared_bytes.get().saturating_add(copies);
        record.peak_bytes.set(record.peak_bytes.get().max(now));
    }

    /// The values of a tensor that does not become a matrix; `None` in a dry run.
    fn vector(&self, name: &str, shape: &[usize]) -> Result<Option<Floats>> {
        let elements: usize = shape.iter().product();
        self.add_prepared(elements * size_of::<f32>(), elements);
        self.floats(name, shape)
    }

    /// The values of a tensor; `None` in a dry run.
    fn floats(&self, name: &str, shape: &[usize]) -> Result<Option<Floats>> {
        self.request(name, shape)?
            .map(|(opened, name)| opened.weights.directory.floats(&name, opened.ledger))
            .transpose()
    }

    /// Records a tensor in a dry run. Otherwise checks its shape, and returns where to read it.
    fn request(&self, name: &str, shape: &[usize]) -> Result<Option<(Opened<'a>, String)>> {
        let name = format!("{}{name}", self.prefix);
        match self.weights {
            Some(opened) => {
                opened.weights.directory.check_shape(&name, shape)?;
                Ok(Some((opened, name)))
            }
            None => {
                self.record.specs.borrow_mut().push(TensorSpec {
                    name,
                    shape: shape.to_vec(),
                    component: self.component,
                });
                Ok(None)
            }
        }
    }
}

fn add(total: &Cell<usize>, bytes: usize) {
    total.set(total.get().saturating_add(bytes));
}

fn values(floats: &Option<Floats>) -> &[f32] {
    floats.as_deref().unwrap_or_default()
}
