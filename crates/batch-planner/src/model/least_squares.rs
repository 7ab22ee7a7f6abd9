//! Non-negative least squares for three unknowns.

/// The unknowns of the fit: bytes that are fixed, per item, and per position of an item.
pub(super) const UNKNOWNS: usize = 3;

/// A column counts as linearly dependent if its component orthogonal to the other columns is
/// shorter than this. All columns have length 1. f64 has 16 digits; at this bound a coefficient
/// retains 6, which is more than memory measurements have.
const DEPENDENT: f64 = 1e-10;

/// Returns the `x >= 0` that minimises `|rows x - targets|`, or `None` if the columns are linearly
/// dependent, so that the minimum is not unique.
///
/// The minimum equals the unconstrained minimum over its support, the columns with a non-zero
/// coefficient. Lawson and Hanson ("Solving Least Squares Problems", 1974, chapter 23) search for
/// the support. Three columns have eight supports, so this function tries all of them and returns
/// the best non-negative solution, which is exact.
pub(super) fn non_negative(rows: &[[f64; UNKNOWNS]], targets: &[f64]) -> Option<[f64; UNKNOWNS]> {
    // Normalised columns, so that the test for dependence does not depend on units.
    let lengths: [f64; UNKNOWNS] =
        std::array::from_fn(|column| norm(rows.iter().map(|row| row[column])));
    let columns: [Vec<f64>; UNKNOWNS] = std::array::from_fn(|column| {
        let length = lengths[column];
        rows.iter().map(|row| row[column] / length).collect()
    });

    let all = (1 << UNKNOWNS) - 1;
    unconstrained(&columns, targets, all)?;
    let mut best = None;
    for support in 0..=all {
        let (solution, residual) = unconstrained(&columns, targets, support)?;
        let better = best.is_none_or(|(_, least)| residual < least);
        if better && solution.iter().all(|value| *value >= 0.0) {
            best = Some((solution, residual));
        }
    }
    best.map(|(solution, _)| std::array::from_fn(|column| solution[column] / lengths[column]))
}

/// Returns the least-squares solution over the columns in `support` (one bit each) and the length
/// of its residual. Uses modified Gram-Schmidt, which is stable if the target is reduced together
/// with the columns (Björck, "Numerics of Gram-Schmidt orthogonalization", 1994).
fn unconstrained(
    columns: &[Vec<f64>; UNKNOWNS],
    targets: &[f64],
    support: usize,
) -> Option<([f64; UNKNOWNS], f64)> {
    let chosen: Vec<usize> = (0..UNKNOWNS)
        .filter(|column| support & (1 << column) != 0)
        .collect();
    let mut remaining: Vec<Vec<f64>> = chosen.iter().map(|&c| columns[c].clone()).collect();
    remaining.push(targets.to_vec());

    // The triangular factor, with the target as its last column.
    let mut triangle = vec![vec![0.0; remaining.len()]; chosen.len()];
    for pivot in 0..chosen.len() {
        let length = norm(remaining[pivot].iter().copied());
        // A column of zeros has a length of NaN after normalisation.
        if !length.is_finite() || length < DEPENDENT {
            return None;
        }
        let direction: Vec<f64> = remaining[pivot]
            .iter()
            .map(|value| value / length)
            .collect();
        triangle[pivot][pivot] = length;
        for later in pivot + 1..remaining.len() {
            let along: f64 = direction
                .iter()
                .zip(&remaining[later])
                .map(|(a, b)| a * b)
                .sum();
            triangle[pivot][later] = along;
            for (value, direction) in remaining[later].iter_mut().zip(&direction) {
                *value -= along * direction;
            }
        }
    }

    let mut solution = [0.0; UNKNOWNS];
    for pivot in (0..chosen.len()).rev() {
        let known: f64 = (pivot + 1..chosen.len())
            .map(|later| triangle[pivot][later] * solution[chosen[later]])
            .sum();
        solution[chosen[pivot]] = (triangle[pivot][chosen.len()] - known) / triangle[pivot][pivot];
    }
    Some((solution, norm(remaining[chosen.len()].iter().copied())))
}

fn norm(values: impl Iterator<Item = f64>) -> f64 {
    values.map(|value| value * value).sum::<f64>().sqrt()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::test_runner::RngSeed;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 512, rng_seed: RngSeed::Fixed(1), ..ProptestConfig::default() })]

        /// The Karush-Kuhn-Tucker conditions: at the minimum the residual is orthogonal to the
        /// columns of the support, and no other column shortens it.
        #[test]
        fn solution_satisfies_the_kkt_conditions(
            points in proptest::collection::vec((1_u32..20, 1_u32..200, -1e3..1e3), 5..20),
        ) {
            let rows: Vec<[f64; 3]> = points
                .iter()
                .map(|&(batch, length, _)| [1.0, batch.into(), (batch * length).into()])
                .collect();
            let targets: Vec<f64> = points.iter().map(|point| point.2).collect();
            let Some(solution) = non_negative(&rows, &targets) else {
                return Ok(());
            };
            let residuals: Vec<f64> = rows
                .iter()
                .zip(&targets)
                .map(|(row, target)| {
                    target - row.iter().zip(solution).map(|(a, x)| a * x).sum::<f64>()
                })
                .collect();
            for column in 0..UNKNOWNS {
                prop_assert!(solution[column] >= 0.0);
                let size = norm(rows.iter().map(|row| row[column]));
                let pull: f64 = rows.iter().zip(&residuals).map(|(row, r)| row[column] * r).sum();
                let pull = pull / (size * norm(targets.iter().copied()).max(1.0));
                prop_assert!(pull < 1e-6, "column {column} would shorten the residual: {pull}");
                if solution[column] > 0.0 {
                    prop_assert!(pull > -1e-6, "coefficient {column} is too large: {pull}");
                }
            }
        }
    }

    #[test]
    fn rejects_dependent_columns() {
        let rows = [[1.0, 1.0, 5.0], [1.0, 2.0, 10.0], [1.0, 3.0, 15.0]];
        assert_eq!(non_negative(&rows, &[1.0, 2.0, 3.0]), None);
        assert_eq!(non_negative(&[[1.0, 0.0, 0.0]; 4], &[1.0; 4]), None);
    }
}
