//! Matrix products with prepared weights, through rten-gemm.

use std::sync::Arc;

use rten_gemm::{
    BiasVector, GemmExecutor, GemmInputA, GemmInputB, GemmOptions, GemmUninitOptions, PackedBMatrix,
};
use rten_tensor::NdTensorView;
use rten_vecmath::ExtendInit;

thread_local! {
    /// The executor picks its kernel from the CPU's features and is not `Send`: one per thread.
    static EXECUTOR: GemmExecutor<f32> = GemmExecutor::default();
}

/// Weights of a product, laid out once for the kernel that this machine uses.
///
/// Products with prepared weights add up every output element over the inputs in one fixed
/// order, whatever the number of rows or threads: the same input row gives the same bits alone,
/// in a batch, and on any machine size. Generation that can be repeated bit for bit rests on it.
#[derive(Clone)]
pub(crate) struct PackedMatrix(Arc<PackedBMatrix<f32>>);

impl std::fmt::Debug for PackedMatrix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PackedMatrix [{}, {}]", self.inputs(), self.outputs())
    }
}

impl PackedMatrix {
    /// Prepares weights stored `[outputs, inputs]`, row after row.
    pub(crate) fn pack(weights: &[f32], outputs: usize, inputs: usize) -> Self {
        let view = NdTensorView::from_data([outputs, inputs], weights);
        EXECUTOR.with(|executor| Self(Arc::new(executor.prepack_b(view.transposed()))))
    }

    /// Input width of the product.
    pub(crate) fn inputs(&self) -> usize {
        self.0.rows()
    }

    /// Output width of the product.
    pub(crate) fn outputs(&self) -> usize {
        self.0.cols()
    }

    /// Bytes that the prepared weights hold on the heap.
    pub(crate) fn bytes(&self) -> usize {
        // The kernels pad the output side to their tile width; 32 columns (AVX-512) is the widest.
        self.inputs() * self.outputs().next_multiple_of(32) * size_of::<f32>()
    }
}

/// Rows of a product's left side: `count` rows that start `stride` elements apart in `data`. They
/// may overlap: row `t` of a causal convolution is the window of samples that ends at step `t`.
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
            .expect("a row window reaches past the end of its buffer")
    }
}

/// `rows * weights + bias`, appended to `out` as adjacent rows.
pub(crate) fn product(
    rows: Rows<'_>,
    weights: &PackedMatrix,
    bias: Option<&[f32]>,
    out: &mut Vec<f32>,
) {
    let len = rows.count * weights.outputs();
    out.reserve(len);
    out.extend_init(|spare| {
        EXECUTOR.with(|executor| {
            executor
                .gemm_uninit(
                    &mut spare[..len],
                    GemmInputA::Unpacked(rows.view(weights.inputs())),
                    GemmInputB::Packed(&weights.0),
                    GemmUninitOptions {
                        bias: bias.map(BiasVector::Row),
                        ..Default::default()
                    },
                )
                .expect(SHAPES_AGREE)
        })
    });
}

/// `out += rows * weights + bias`, `out` being adjacent rows.
pub(crate) fn product_add(
    rows: Rows<'_>,
    weights: &PackedMatrix,
    bias: Option<&[f32]>,
    out: &mut [f32],
) {
    EXECUTOR.with(|executor| {
        executor
            .gemm(
                out,
                GemmInputA::Unpacked(rows.view(weights.inputs())),
                GemmInputB::Packed(&weights.0),
                GemmOptions {
                    beta: 1.0,
                    bias: bias.map(BiasVector::Row),
                    ..Default::default()
                },
            )
            .expect(SHAPES_AGREE)
    });
}

const SHAPES_AGREE: &str = "shapes were checked when the weights were loaded";
