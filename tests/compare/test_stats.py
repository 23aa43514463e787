"""Against values that are known: from tables, textbooks, or counted by hand."""

import itertools
import math
import random
import unittest

from comparison import stats


class Quantiles(unittest.TestCase):
    def test_type_7(self):
        self.assertEqual(stats.quantile([1, 2, 3, 4], 0.25), 1.75)  # numpy's and R's default
        self.assertEqual(stats.quantile([4, 1, 3, 2], 1), 4)
        self.assertEqual(stats.median([3]), 3)
        self.assertEqual(stats.median([1, 2, 3, 10]), 2.5)

    def test_refuses(self):
        self.assertRaises(ValueError, stats.quantile, [], 0.5)
        self.assertRaises(ValueError, stats.quantile, [1], 1.5)

    def test_outliers(self):
        self.assertEqual(stats.count_outliers([1, 2, 3, 4, 5, 100]), 1)
        self.assertEqual(stats.count_outliers([1, 1, 1, 1]), 0)


class Intervals(unittest.TestCase):
    def test_few_values_give_their_range_and_its_coverage(self):
        found = stats.interval([3.0, 1.0, 2.0])
        self.assertEqual((found.estimate, found.low, found.high), (2, 1, 3))
        self.assertEqual(found.coverage, 0.75)

    def test_coverage_of_the_range(self):
        # Conover: the smallest and largest of 5 and 6 cover the median with 0.9375 and 0.96875.
        self.assertEqual(stats.range_coverage(5), 0.9375)
        self.assertEqual(stats.range_coverage(6), 0.96875)
        self.assertGreaterEqual(stats.range_coverage(stats.FEWEST_FOR_INTERVAL), 0.95)
        self.assertLess(stats.range_coverage(stats.FEWEST_FOR_INTERVAL - 1), 0.95)

    def test_repeatable(self):
        values = [random.Random(3).gauss(0, 1) for _ in range(12)]
        self.assertEqual(stats.interval(values), stats.interval(values))

    def test_bounds_are_those_of_the_exact_bootstrap(self):
        """Of an odd number of values the bootstrapped median is one of them, and how likely each is
        follows from the binomial distribution."""
        values = [float(i) for i in range(9)]
        count, need = len(values), 5  # the median of 9 is at most v when 5 draws are

        def at_most(k):  # k values are at most v
            return sum(math.comb(count, i) * (k / count)**i * (1 - k / count)**(count - i)
                       for i in range(need, count + 1))

        low = next(v for v in range(count) if at_most(v + 1) >= 0.025)
        high = next(v for v in range(count) if at_most(v + 1) >= 0.975)
        found = stats.interval(values, resamples=20000)
        self.assertEqual((found.low, found.high), (low, high))

    def test_covers_the_median(self):
        """Of 200 samples of a skewed distribution nearly 95 % contain the true median."""
        rng = random.Random(1)
        true, inside = math.log(2), 0
        for _ in range(200):
            found = stats.interval([rng.expovariate(1) for _ in range(15)], resamples=400)
            inside += found.low <= true <= found.high
        self.assertGreaterEqual(inside, 178)  # nearly four standard deviations below 190
        self.assertLess(inside, 200)

    def test_difference_of_unpaired(self):
        found = stats.difference_interval([2.0] * 8, [1.0] * 8)
        self.assertEqual((found.estimate, found.low, found.high), (2, 2, 2))
        found = stats.difference_interval([2.0, 3.0], [1.0, 2.0])
        self.assertEqual((found.low, found.high), (1.0, 3.0))


class MannWhitney(unittest.TestCase):
    def test_textbook(self):
        # Ages at diagnosis of diabetes, the example of scipy.stats.mannwhitneyu: U 17, p 0.1111.
        found = stats.mann_whitney([19, 22, 16, 29, 24], [20, 11, 17, 12])
        self.assertEqual(found.u, 17)
        self.assertTrue(found.exact)
        self.assertAlmostEqual(found.p, 0.1111111111, 9)

    def test_extreme(self):
        # Nothing of a beyond b: 2 of the 20 arrangements are as extreme.
        self.assertAlmostEqual(stats.mann_whitney([1, 2, 3], [4, 5, 6]).p, 0.1)

    def test_exact_by_counting(self):
        a, b = [1.0, 4.0, 6.5], [2.0, 3.0, 7.0, 8.0]
        joint, u = sorted(a + b), stats.mann_whitney(a, b).u
        far = abs(u - 6)
        hits = total = 0
        for chosen in itertools.combinations(joint, 3):
            rest = [v for v in joint if v not in chosen]
            total += 1
            hits += abs(sum(x > y for x in chosen for y in rest) - 6) >= far
        self.assertAlmostEqual(stats.mann_whitney(a, b).p, hits / total)

    def test_distribution_is_the_known_one(self):
        self.assertEqual(stats._u_counts(2, 2), [1, 1, 2, 1, 1])
        self.assertEqual(sum(stats._u_counts(7, 9)), math.comb(16, 7))

    def test_ties(self):
        # By hand: a wins 8 of 9 pairs and ties one; three ties of two in six values, so the
        # variance is 9/12 * (7 - 3 * (8 - 2) / (6 * 5)).
        found = stats.mann_whitney([2, 3, 3], [1, 1, 2])
        self.assertFalse(found.exact)
        self.assertEqual(found.u, 8.5)
        z = (8.5 - 4.5 - 0.5) / math.sqrt(9 / 12 * (7 - 18 / 30))
        self.assertAlmostEqual(found.p, math.erfc(z / math.sqrt(2)))

    def test_all_equal(self):
        self.assertEqual(stats.mann_whitney([1, 1], [1, 1]).p, 1)

    def test_normal_near_exact(self):
        rng = random.Random(5)
        a, b = [rng.gauss(0, 1) for _ in range(25)], [rng.gauss(0.5, 1) for _ in range(25)]
        exact = stats.mann_whitney(a, b)
        old, stats.EXACT_PAIRS = stats.EXACT_PAIRS, 0
        try:
            normal = stats.mann_whitney(a, b)
        finally:
            stats.EXACT_PAIRS = old
        self.assertTrue(exact.exact and not normal.exact)
        self.assertAlmostEqual(exact.p, normal.p, 2)


class Pairs(unittest.TestCase):
    def test_sign_flips_by_counting(self):
        # 1 and 2 against 4: of 16 signs those with a sum of at least |1 + 2 + 4 - 3| are counted.
        differences = [1.0, 2.0, 4.0, -3.0]
        hits = sum(abs(sum(s * d for s, d in zip(signs, differences))) >= 4
                   for signs in itertools.product((1, -1), repeat=4))
        self.assertEqual(stats.sign_flip(differences), hits / 16)

    def test_smallest_p(self):
        self.assertEqual(stats.sign_flip([1.0] * 6), 2 / 64)
        self.assertEqual(stats.compare_pairs([2.0] * 6, [1.0] * 6).smallest_p, 2 / 64)

    def test_many_pairs(self):
        rng = random.Random(2)
        null = [rng.gauss(0, 1) for _ in range(30)]
        shifted = [v + 1 for v in null]
        self.assertGreater(stats.sign_flip([v - sum(null) / 30 for v in null]), 0.9)
        self.assertLess(stats.sign_flip(shifted), 0.001)
        self.assertGreater(stats.sign_flip(shifted), 0)

    def test_the_level_is_kept(self):
        """Without a difference, p is below 0.05 in about one of twenty."""
        rng = random.Random(7)
        low = sum(stats.sign_flip([rng.gauss(0, 1) for _ in range(8)]) < 0.05 for _ in range(400))
        self.assertTrue(5 <= low <= 36, low)

    def test_verdict(self):
        found = stats.compare_pairs([1.1, 2.2, 3.3], [1.0, 2.0, 3.0])
        self.assertAlmostEqual(found.ratio.estimate, 1.1)
        self.assertAlmostEqual(found.ratio.low, 1.1)
        self.assertRaises(ValueError, stats.compare_pairs, [1.0], [])


class Effects(unittest.TestCase):
    def test_cliff(self):
        self.assertEqual(stats.cliffs_delta([1, 2], [3, 4]), -1)
        self.assertEqual(stats.cliffs_delta([1, 2], [1, 2]), 0)
        self.assertEqual(stats.cliffs_delta([3, 3], [1, 3]), 0.5)
        self.assertEqual([stats.cliffs_word(d) for d in (0.1, -0.2, 0.4, -0.9)],
                         ["negligible", "small", "medium", "large"])

    def test_hodges_lehmann(self):
        self.assertEqual(stats.hodges_lehmann([3, 4, 5], [1, 2, 3]), 2)

    def test_holm(self):
        # Holm 1979's rule: sorted p times 4, 3, 2, 1, never falling.
        found = stats.holm([0.01, 0.04, 0.03, 0.005])
        for got, want in zip(found, [0.03, 0.06, 0.06, 0.02]):
            self.assertAlmostEqual(got, want)
        self.assertEqual(stats.holm([0.9, 0.8]), [1.0, 1.0])
        self.assertEqual(stats.holm([]), [])
