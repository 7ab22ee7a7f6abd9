//! Rotary position embeddings (Su et al., 2021) on interleaved pairs.

use burn::tensor::{Device, Tensor};

use super::tensor_from;

/// The rotation frequencies of one head.
#[derive(Clone, Debug)]
pub(crate) struct Rope {
    /// Radians per position, one per pair of channels.
    frequencies: Vec<f32>,
}

impl Rope {
    /// Frequencies from 1 down to about `1 / max_period` over the pairs of a head.
    pub(crate) fn new(head_dim: usize, max_period: f32) -> Self {
        // In f32 and in the order in which the models were trained: at position 1000 the angle
        // depends on the last bits of the frequency.
        let slope = -max_period.ln() * 2.0 / head_dim as f32;
        Self {
            frequencies: (0..head_dim / 2)
                .map(|pair| (pair as f32 * slope).exp())
                .collect(),
        }
    }

    /// Rotations for `time` consecutive positions of each row, from the row's start.
    pub(crate) fn table(&self, starts: &[usize], time: usize) -> RopeTable {
        let pairs = self.frequencies.len();
        let mut cos = Vec::with_capacity(starts.len() * time * pairs);
        let mut sin = Vec::with_capacity(starts.len() * time * pairs);
        for &start in starts {
            for offset in 0..time {
                let position = (start + offset) as f32;
                for frequency in &self.frequencies {
                    let (s, c) = (frequency * position).sin_cos();
                    cos.push(c);
                    sin.push(s);
                }
            }
        }
        RopeTable {
            cos,
            sin,
            rows: starts.len(),
            time,
            pairs,
        }
    }
}

/// Cosines and sines of the positions of one forward pass, shared by all layers.
#[derive(Debug)]
pub(crate) struct RopeTable {
    /// `[row, time, pair]`; a single row applies to the whole batch.
    cos: Vec<f32>,
    sin: Vec<f32>,
    rows: usize,
    time: usize,
    pairs: usize,
}

impl RopeTable {
    /// Rotates heads of one position in place: a whole number of heads of `row` at `time`.
    pub(crate) fn rotate(&self, heads: &mut [f32], row: usize, time: usize) {
        let at = ((row % self.rows) * self.time + time) * self.pairs;
        let cos = &self.cos[at..at + self.pairs];
        let sin = &self.sin[at..at + self.pairs];
        for head in heads.chunks_exact_mut(2 * self.pairs) {
            for ((pair, cos), sin) in head.chunks_exact_mut(2).zip(cos).zip(sin) {
                let (re, im) = (pair[0], pair[1]);
                pair[0] = re * cos - im * sin;
                pair[1] = re * sin + im * cos;
            }
        }
    }

    /// The portable body of the rotation.
    ///
    /// # Shapes
    ///
    /// `x` [batch, time, head, head_dim] -> the same
    pub(crate) fn portable(&self, x: Tensor<4>, device: &Device) -> Tensor<4> {
        let [batch, time, heads, width] = x.dims();
        let table = |values: &[f32]| -> Tensor<5> {
            tensor_from(
                values.to_vec(),
                [self.rows, self.time, 1, self.pairs, 1],
                device,
            )
        };
        let (cos, sin) = (table(&self.cos), table(&self.sin));
        let x = x.reshape([batch, time, heads, self.pairs, 2]);
        let half = |index: usize| {
            x.clone()
                .slice([0..batch, 0..time, 0..heads, 0..self.pairs, index..index + 1])
        };
        let (re, im) = (half(0), half(1));
        let rotated = vec![
            re.clone() * cos.clone() - im.clone() * sin.clone(),
            re * sin + im * cos,
        ];
        Tensor::cat(rotated, 4).reshape([batch, time, heads, width])
    }
}
