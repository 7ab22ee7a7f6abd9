//! Weight matrices of linear layers and convolutions, prepared for a backend.

use std::sync::Arc;

use burn::tensor::Tensor;
use rten_gemm::{
    BiasVector, GemmExecutor, GemmInputA, GemmInputB, GemmOptions, GemmUninitOptions, PackedBMatrix,
};
use rten_tensor::NdTensorView;
use rten_vecmath::ExtendInit;

use super::{Backend, tensor_from};

thread_local! {
    /// The executor selects its kernel from the CPU's features. It is not `Send`: one per thread.
    static EXECUTOR: GemmExecutor<f32> = GemmExecutor::default();
}

/// Columns that rten-gemm pads outputs to: 32 (AVX-512) is the widest tile of its kernels.
const TILE_COLUMNS: usize = 32;

const SHAPES_AGREE: &str = "shapes were checked when the weights were loaded";

/// The weights of a matrix product.
#[derive(Clone, Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "a model has a few hundred of these"
)]
pub(crate) enum Matrix {
    /// f32 on the host, packed for rten-gemm's kernel on this machine.
    F32(PackedMatrix),
    /// A tensor `[inputs, outputs]`: no backend transposes a weight per call.
    Device(Tensor<2>),
    /// A shape without values, from a dry run.
    Planned {
        /// Width of a row on the left side.
        inputs: usize,
        /// Width of a row of the product.
        outputs: usize,
    },
}

impl Matrix {
    /// Prepares weights stored `[outputs, inputs]`, row after row.
    pub(crate) fn new(weights: &[f32], [outputs, inputs]: [usize; 2], backend: &Backend) -> Self {
        debug_assert!(weights.len() == outputs * inputs || matches!(backend, Backend::DryRun));
        match backend {
            Backend::Kernels(_) => Self::F32(PackedMatrix::new(weights, outputs, inputs)),
            Backend::Portable(device) => {
                let weights = transposed(weights, [outputs, inputs]);
                Self::Device(tensor_from(weights, [inputs, outputs], device))
            }
            Backend::DryRun => Self::Planned { inputs, outputs },
        }
    }

    /// Width of a row on the left side.
    pub(crate) fn inputs(&self) -> usize {
        match self {
            Self::F32(packed) => packed.0.rows(),
            Self::Device(weight) => weight.dims()[0],
            Self::Planned { inputs, .. } => *inputs,
        }
    }

    /// Width of a row of the product.
    pub(crate) fn outputs(&self) -> usize {
        match self {
            Self::F32(packed) => packed.0.cols(),
            Self::Device(weight) => weight.dims()[1],
            Self::Planned { outputs, .. } => *outputs,
        }
    }

    /// Bytes of the prepared weights; an upper bound over all backends in a dry run.
    pub(crate) fn bytes(&self) -> usize {
        let columns = match self {
            Self::F32(_) | Self::Planned { .. } => self.outputs().next_multiple_of(TILE_COLUMNS),
            Self::Device(_) => self.outputs(),
        };
        self.inputs() * columns * size_of::<f32>()
    }

    /// The tensor of a matrix on a device; `None` on the host.
    pub(crate) fn tensor(&self) -> Option<&Tensor<2>> {
        match self {
            Self::Device(weight) => Some(weight),
            Self::F32(_) | Self::Planned { .. } => None,
        }
    }

    /// Appends `rows * weights + bias` to `out` as adjacent rows.
    ///
    /// # Panics
    ///
    /// If the matrix is not on the host.
    pub(crate) fn product(&self, rows: Rows<'_>, bias: Option<&[f32]>, out: &mut Vec<f32>) {
        let packed = self.packed();
        let len = rows.count * self.outputs();
        out.reserve(len);
        out.extend_init(|spare| {
            EXECUTOR.with(|executor| {
                executor
                    .gemm_uninit(
                        &mut spare[..len],
                        GemmInputA::Unpacked(rows.view(self.inputs())),
                        GemmInputB::Packed(packed),
                        GemmUninitOptions {
                            bias: bias.map(BiasVector::Row),
                            ..Default::default()
                        },
                    )
                    .expect(SHAPES_AGREE)
            })
        });
    }

    /// Adds `rows * weights + bias` to the adjacent rows of `out`.
    ///
    /// # Panics
    ///
    /// If the matrix is not on the host.
    pub(crate) fn product_add(&self, rows: Rows<'_>, bias: Option<&[f32]>, out: &mut [f32]) {
        let packed = self.packed();
        EXECUTOR.with(|executor| {
            executor
                .gemm(
                    out,
                    GemmInputA::Unpacked(rows.view(self.inputs())),
                    GemmInputB::Packed(packed),
                    GemmOptions {
                        beta: 1.0,
                        bias: bias.map(BiasVector::Row),
                        ..Default::default()
                    },
                )
                .expect(SHAPES_AGREE)
        });
    }

    fn packed(&self) -> &PackedBMatrix<f32> {
        match self {
            Self::F32(packed) => &packed.0,
            Self::Device(_) | Self::Planned { .. } => {
                unreachable!("only matrices on the host are multiplied as slices")
            }
        }
    }
}

/// f32 weights in the layout of the kernel that this machine uses.
///
/// A product with packed weights adds up each output element over the inputs in one fixed order,
/// whatever the number of rows or threads: an input row gives the same bits alone and in a batch.
/// Bit-identical generation depends on this.
#[derive(Clone)]
pub(crate) struct PackedMatrix(Arc<PackedBMatrix<f32>>);

impl PackedMatrix {
    fn new(weights: &[f32], outputs: usize, inputs: usize) -> Self {
        let view = NdTensorView::from_data([outputs, inputs], weights);
        EXECUTOR.with(|executor| Self(Arc::new(executor.prepack_b(view.transposed()))))
    }
}

impl std::fmt::Debug for PackedMatrix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PackedMatrix [{}, {}]", self.0.rows(), self.0.cols())
    }
}

/// Rows of a matrix: `count` rows that start `stride` elements apart in `data`.
///
/// Rows may overlap: row `t` of a causal convolution is the window of samples that ends at `t`.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a> {
    pub(crate) data: &'a [f32],
    pub(crate) count: usize,
    pub(crate) stride: usize,
}

impl<'a> Rows<'a> {
    /// `data` as adjacent rows of `width` elements.
    pub(crate) fn adjacent(data: &'a [f32], width: usize) -> Self {
        Self {
            data,
            count: data.len() / width,
            stride: width,
        }
    }

    fn view(&self, width: usize) -> NdTensorView<'a, f32, 2> {
        NdTensorView::from_slice_with_strides([self.count, width], self.data, [self.stride, 1])
            .expect("the last row ends inside the buffer")
    }
}

/// A `[rows, columns]` matrix as `[columns, rows]`.
pub(crate) fn transposed(values: &[f32], [rows, columns]: [usize; 2]) -> Vec<f32> {
    (0..columns)
        .flat_map(|column| (0..rows).map(move |row| values[row * columns + column]))
        .collect()
}
